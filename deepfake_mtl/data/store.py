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
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepfake_mtl.data.corpora.base import listed_videos
from deepfake_mtl.data.corpora.faceforensics import FaceForensics, keys_of_test
from deepfake_mtl.data.crop_files import read_header
from deepfake_mtl.data.crop_format import REMEDY, SUFFIX, VERSION
from deepfake_mtl.data.crop_settings import CropSettings, describe_difference
from deepfake_mtl.data.json_values import text_value, to_json
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.text_files import read_lines
from deepfake_mtl.data.whole_files import open_whole
from deepfake_mtl.errors import ConfigurationError, CorpusError

_FORMAT: Final = "deepfake_mtl face store"
_TEST_LIST: Final = "test_list.txt"

REPORT: Final = "report.csv"
"""What became of each video of the corpus."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What ``store.json`` says: what a store was made from, and how.

    Attributes:
        corpus: Name of the corpus.
        compression: The one compression that it holds.
        synthetic: Whether the corpus is a synthetic world.
        settings: How the crops were made.
    """

    corpus: str
    compression: str
    synthetic: bool
    settings: CropSettings

    def describe_difference(self, other: "StoreInfo") -> str:
        """Say in words what differs, as `CropSettings.describe_difference` does."""
        mine, others = (
            {"corpus": info.corpus, "compression": info.compression, "synthetic": info.synthetic}
            | info.settings.flat()
            for info in (self, other)
        )
        return describe_difference(mine, others)


def crops_path(root: Path, method: str, compression: str, name: str) -> Path:
    """Return where the crops of a video lie in a store."""
    return root / "crops" / method / compression / f"{name}{SUFFIX}"


def is_store(root: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a store, of whatever version."""
    return (Path(root) / "store.json").is_file()


def check_store(root: Path, info: StoreInfo) -> None:
    """See that a folder is a store of the same corpus and settings, or can become one.

    Raises:
        CorpusError: It is a store of something else, has other contents, or cannot be read.
    """
    if is_store(root):
        difference = read_store(root).describe_difference(info)
        if difference:
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
            corpus=text_value(values, "corpus"),
            compression=text_value(values, "compression"),
            synthetic=bool(values["synthetic"]),
            settings=settings,
        )
    except OSError as error:
        raise CorpusError(
            f"{root}: no store of face crops ({error.strerror}: store.json); "
            "`deepfake-mtl prepare` makes one"
        ) from error
    except (ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise CorpusError(f"{path}: cannot be understood ({error}); prepare it again") from error


def write_index(root: Path) -> Path:
    """Write ``index.jsonl`` from the headers of all files of a store.

    Raises:
        CorpusError: A file was made with other settings or from something else, was moved, or the
            index cannot be written.
        VideoError: A header is damaged.
    """
    path = root / "index.jsonl"
    lines = _lines_from_headers(root, read_store(root))
    with open_whole(path) as file:
        file.append("".join(f"{to_json(line)}\n" for line in lines).encode())
    return path


def write_test_list(root: Path, keys: Iterable[str]) -> None:
    """Write ``test_list.txt``.

    Args:
        root: The store.
        keys: Keys of the videos to be tested on, whether the store has them or not.

    Raises:
        CorpusError: It cannot be written.
    """
    with open_whole(root / _TEST_LIST) as file:
        file.append("".join(f"{key}\n" for key in sorted(keys)).encode())


class FaceStore:
    """The face crops of one compression of a corpus, in the place of its videos.

    It is a `deepfake_mtl.data.corpora.Corpus`.

    Args:
        root: The folder that ``deepfake-mtl prepare`` wrote.
        compression: What is asked for; None takes what is there.
        on_missing: Whether test videos that the store lacks are an error, or are left out with a
            warning.

    Attributes:
        root: The folder.
        name: Name of the corpus.
        compression: ``raw``, ``c23``, ``c40`` or ``native``.
        is_synthetic: Whether the corpus is a synthetic world.
        settings: How the crops were made.

    Raises:
        CorpusError: It is not a store, of another version, or of another compression.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        compression: str | None = None,
        *,
        on_missing: OnMissing = "error",
    ) -> None:
        self.root = Path(root)
        self.on_missing: OnMissing = on_missing
        self._info = read_store(self.root)
        self.name = self._info.corpus
        self.compression = self._info.compression
        self.is_synthetic = self._info.synthetic
        self.settings = self._info.settings
        if compression not in (None, self.compression):
            raise CorpusError(
                f"{self.root}: holds compression {self.compression}, but {compression} was asked "
                f'for: set `compression="{self.compression}"`, or prepare another store'
            )

    @property
    def how_to_complete(self) -> str:
        """How to get videos that are missing."""
        return (
            f"see in {self.root / REPORT} why the store lacks them, and run `deepfake-mtl prepare` "
            "again when they are in the corpus"
        )

    @property
    def splits_folder(self) -> Path:
        """Where the lists of identities lie by default."""
        return self.root / "splits"

    def index(self, methods: Sequence[str] | None = None) -> list[VideoRecord]:
        """List the videos of originals and of some manipulations, without opening any.

        Where ``index.jsonl`` is missing, or there are files that it does not know, the headers of
        all files are read instead; that takes seconds where there are thousands.

        Args:
            methods: Manipulations to look for beside the originals; None is all.

        Returns:
            Records in the order of `FaceForensics.index`; their paths are files of crops.

        Raises:
            CorpusError: Nothing is there, files are lost, or were made with other settings.
            VideoError: There is no index, and a header is damaged.
        """
        records = [self._record(line) for line in self._lines()]
        if methods is not None:
            records = [record for record in records if record.method in (ORIGINAL, *methods)]
        if not records:
            wanted = "fakes" if methods is None else ", ".join(methods)
            raise CorpusError(
                f"{self.root}: the store holds no crops of originals or of {wanted}; "
                "run `deepfake-mtl prepare` again, and see its report.csv"
            )
        return sorted(records, key=lambda record: (record.is_fake, record))

    def test_list(self) -> list[str] | None:
        """Return the keys of the videos that the corpus is tested on, in the store or not.

        Those of ``test_list.txt``, or what ``splits/test.json`` stands for.

        Raises:
            CorpusError: The list cannot be read.
            SplitError: The store has neither.
        """
        path = self.root / _TEST_LIST
        if not path.exists():
            methods = FaceForensics.methods
            return keys_of_test(self.splits_folder, self.name, self.compression, methods)
        return [line for _, line in read_lines(path, "prepare it again")]

    def test_videos(self) -> list[VideoRecord]:
        """List the videos of `test_list`.

        Raises:
            CorpusError: The store lacks some, and may not.
            SplitError: The store has no list.
        """
        return listed_videos(
            self.index(), self.test_list(), self.on_missing, obtain=self.how_to_complete
        )

    def _lines(self) -> list[dict[str, Any]]:
        path = self.root / "index.jsonl"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            _log.warning("%s is missing: reading headers; run `deepfake-mtl prepare` again", path)
            return _lines_from_headers(self.root, self._info)
        try:
            lines = [json.loads(line) for line in text.splitlines()]
            listed = {(line["method"], line["compression"], line["name"]) for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path}: cannot be understood ({error}); delete it: it is made of the headers"
            ) from error
        found = set(list_crops(self.root))
        if lost := sorted(listed - found):
            raise CorpusError(
                f"{crops_path(self.root, *lost[0])}: is listed in index.jsonl but not there, as "
                f"{len(lost)} of {len(listed)} files; run `deepfake-mtl prepare` again"
            )
        if found - listed:
            _log.warning(
                "%s lacks %d files: reading headers; run `deepfake-mtl prepare` again",
                path,
                len(found - listed),
            )
            return _lines_from_headers(self.root, self._info)
        _check_lines(self.root, self._info, lines)
        return lines

    def _record(self, line: Mapping[str, Any]) -> VideoRecord:
        method, compression, name = (line[part] for part in ("method", "compression", "name"))
        return VideoRecord(
            corpus=self.name,
            method=method,
            compression=compression,
            name=name,
            identities=tuple(line["identities"]),
            path=crops_path(self.root, method, compression, name),
        )


def _lines_from_headers(root: Path, info: StoreInfo) -> list[dict[str, Any]]:
    lines = []
    for method, compression, name in sorted(list_crops(root)):
        path = crops_path(root, method, compression, name)
        header = read_header(path)
        if (header.method, header.compression, header.name) != (method, compression, name):
            raise CorpusError(
                f"{path}: is of {header.key}, and was moved or renamed; put it back, or {REMEDY}"
            )
        line = header.to_dict()
        for bulky in ("times", "squares", "scores"):
            del line[bulky]
        line["fps"] = header.fps if math.isfinite(header.fps) else None
        line["frames"] = header.frames
        line["bytes"] = path.stat().st_size
        lines.append(line)
    _check_lines(root, info, lines)
    return lines


def _check_lines(root: Path, info: StoreInfo, lines: Iterable[Mapping[str, Any]]) -> None:
    """Check that all files were made from the same corpus with the settings of the store."""
    expected = (info.corpus, info.compression, info.settings.digest())
    for line in lines:
        made = (line["corpus"], line["compression"], line["settings_digest"])
        if made != expected:
            path = crops_path(root, line["method"], line["compression"], line["name"])
            raise CorpusError(
                f"{path}: was made from {made[0]} {made[1]} with settings {made[2]}, but the store "
                f"is of {expected[0]} {expected[1]} with settings {expected[2]}: {REMEDY}"
            )


def list_crops(root: Path) -> Iterator[tuple[str, str, str]]:
    """Return method, compression and name of every finished file."""
    for folder in (root / "crops").glob("*/*/"):
        for name in os.listdir(folder):  # noqa: PTH208 (twice as fast)
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield folder.parent.name, folder.name, name.removesuffix(SUFFIX)
