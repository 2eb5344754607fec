"""The store of face crops: what ``deepfake-mtl prepare`` writes and training reads.

A store is a folder of one file of square crops for each video, from which any frame is read without
decoding another. ``docs/store.md`` describes every byte of it::

    store/
      store.json                                     what it was made from, and how
      index.jsonl                                    one line for each video
      splits/{train,val,test}.json                   copied from the corpus, where it has them
      test_list.txt                                  what is tested on; not of FaceForensics++
      crops/<method>/<compression>/<name>.crops
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepfake_mtl.data.store.crop_format import SUFFIX, VERSION
from deepfake_mtl.data.store.crop_settings import CropSettings, describe_difference
from deepfake_mtl.errors import ConfigurationError, CorpusError
from deepfake_mtl.util.files import open_whole

_FORMAT: Final = "deepfake_mtl face store"


REPORT: Final = "report.csv"
"""What became of each video of the corpus."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What ``store.json`` says: what a store was made from, and how.

    Attributes:
        corpus: Name of the corpus.
        compression: The one compression that it holds.
        synthetic: Whether the corpus is a synthetic world.
        settings: How the crops were made.

    Raises:
        TypeError: A name is not a text.
    """

    corpus: str
    compression: str
    synthetic: bool
    settings: CropSettings

    def __post_init__(self) -> None:
        for name in ("corpus", "compression"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is {getattr(self, name)!r}")

    def flat(self) -> dict[str, Any]:
        """Return plain values, those of the settings as `CropSettings.flat` does."""
        about = {"corpus": self.corpus, "compression": self.compression}
        return about | {"synthetic": self.synthetic} | self.settings.flat()


def crops_path(root: Path, method: str, compression: str, name: str) -> Path:
    """Return where the crops of a video lie in a store."""
    return root / "crops" / method / compression / f"{name}{SUFFIX}"


def list_crops(root: Path) -> Iterator[tuple[str, str, str]]:
    """Return method, compression and name of every finished file."""
    for folder in (root / "crops").glob("*/*/"):
        for name in os.listdir(folder):  # noqa: PTH208 (twice as fast)
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield folder.parent.name, folder.name, name.removesuffix(SUFFIX)


def is_store(root: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a store, of whatever version."""
    return (Path(root) / "store.json").is_file()


def check_store(root: Path, info: StoreInfo) -> None:
    """See that a folder is a store of the same corpus and settings, or can become one.

    Raises:
        CorpusError: It is a store of something else, has other contents, or cannot be read.
    """
    if is_store(root):
        if difference := describe_difference(read_store(root).flat(), info.flat()):
            raise CorpusError(
                f"{root}: is a store that was made otherwise: {difference}. Ask for what is there, "
                "or name another folder"
            )
        return
    try:
        found = sorted(e.name for e in root.iterdir()) if root.exists() else []
    except OSError as error:
        raise CorpusError(f"{root}: is not a folder that can be read ({error.strerror})") from error
    if any(not name.startswith(".") for name in found):
        raise CorpusError(
            f"{root}: is not a store, and holds {', '.join(found[:8])}; name a new or empty folder"
        )


def create_store(root: Path, info: StoreInfo) -> None:
    """Make a folder a store, or see that it is one of the same corpus and settings.

    Raises:
        CorpusError: It is a store of something else, has other contents, or cannot be written to.
    """
    check_store(root, info)
    if is_store(root):
        return
    values = {
        "format": _FORMAT,
        "version": VERSION,
        "corpus": info.corpus,
        "compression": info.compression,
        "synthetic": info.synthetic,
        "settings": info.settings.to_dict(),
        "settings_digest": info.settings.digest(),
    }
    with open_whole(root / "store.json") as file:
        file.append((json.dumps(values, indent=2, sort_keys=True) + "\n").encode())


def read_store(root: Path) -> StoreInfo:
    """Return what ``store.json`` says.

    Raises:
        CorpusError: There is none, it is damaged, or of another version of the format.
    """
    path = root / "store.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise CorpusError(f"{path}: is of something else than a store of face crops")
        if values["version"] != VERSION:
            raise CorpusError(
                f"{path}: the store has version {values['version']} of the format, this program "
                f"reads version {VERSION}: prepare it again, or take the program that made it"
            )
        settings = CropSettings.from_dict(values["settings"])
        if values["settings_digest"] != settings.digest():
            raise CorpusError(f"{path}: was changed by hand; restore it, or prepare it again")
        return StoreInfo(
            values["corpus"], values["compression"], bool(values["synthetic"]), settings
        )
    except OSError as error:
        raise CorpusError(
            f"{root}: no store of face crops ({error.strerror}: store.json); "
            "`deepfake-mtl prepare` makes one"
        ) from error
    except (ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise CorpusError(f"{path}: cannot be understood ({error}); prepare it again") from error
