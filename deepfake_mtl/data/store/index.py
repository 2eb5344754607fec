"""The videos of a store: their index, made of the headers of its files, and the list to test on."""

import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from deepfake_mtl.data.corpora.base import Corpus
from deepfake_mtl.data.corpora.faceforensics import FaceForensics, keys_of_test
from deepfake_mtl.data.json_values import to_json
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.crop_files import read_header, verify
from deepfake_mtl.data.store.crop_format import REMEDY
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.folder import REPORT, crops_path, list_crops, read_store
from deepfake_mtl.data.text_files import read_lines
from deepfake_mtl.errors import CorpusError, VideoError
from deepfake_mtl.util.files import open_whole

_TEST_LIST: Final = "test_list.txt"

_log = logging.getLogger(__name__)


def write_index(root: Path) -> Path:
    """Write ``index.jsonl`` from the headers of all files of a store.

    Raises:
        CorpusError: A file was made with other settings or from something else, was moved, or the
            index cannot be written.
        VideoError: A header is damaged.
    """
    path = root / "index.jsonl"
    lines = FaceStore(root).lines_from_headers()
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


class FaceStore(Corpus):
    """The face crops of one compression of a corpus, in the place of its videos.

    Args:
        root: The folder that ``deepfake-mtl prepare`` wrote.
        compression: What is asked for; None takes what is there.
        on_missing: Whether test videos that the store lacks are an error, or are left out with a
            warning.

    Attributes:
        root: The folder.
        name: Name of the corpus.
        compression: ``raw``, ``c23``, ``c40`` or ``native``.
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
        super().__init__(root, on_missing)
        info = read_store(self.root)
        self.name = info.corpus
        self.compression = info.compression
        self.is_synthetic = info.synthetic
        self.settings = info.settings
        self.how_to_complete = (
            f"see in {self.root / REPORT} why the store lacks them, and run `deepfake-mtl prepare` "
            "again when they are in the corpus"
        )
        if compression not in (None, self.compression):
            raise CorpusError(
                f"{self.root}: holds compression {self.compression}, but {compression} was asked "
                f'for: set `compression="{self.compression}"`, or prepare another store'
            )

    @property
    def splits_folder(self) -> Path:
        """Where the lists of identities lie by default."""
        return self.root / "splits"

    def index(self) -> list[VideoRecord]:
        """List all videos, without opening any.

        Where ``index.jsonl`` is missing, or there are files that it does not know, the headers of
        all files are read instead; that takes seconds where there are thousands.

        Returns:
            Records in the order of `FaceForensics.index`; their paths are files of crops.

        Raises:
            CorpusError: Nothing is there, files are lost, or were made with other settings.
            VideoError: There is no index, and a header is damaged.
        """
        records = [self._record(line) for line in self._lines()]
        if not records:
            raise CorpusError(
                f"{self.root}: the store holds no crops of originals or of fakes; run "
                f"`deepfake-mtl prepare` again, and see its {REPORT}"
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

    def _lines(self) -> list[dict[str, Any]]:
        path = self.root / "index.jsonl"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            _log.warning("%s is missing: reading headers; run `deepfake-mtl prepare` again", path)
            return self.lines_from_headers()
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
            return self.lines_from_headers()
        for line in lines:
            self._check(line)
        return lines

    def _record(self, line: Mapping[str, Any]) -> VideoRecord:
        file = (line["method"], line["compression"], line["name"])
        people = tuple(line["identities"])
        return VideoRecord(self.name, *file, people, crops_path(self.root, *file))

    def lines_from_headers(self) -> list[dict[str, Any]]:
        """Return what ``index.jsonl`` should hold, by the headers of all files.

        Raises:
            CorpusError: A file was made with other settings or from something else, or was moved.
            VideoError: A header is damaged.
        """
        return [self._line(each, read_header) for each in sorted(list_crops(self.root))]

    def find_damage(self, workers: int) -> list[str]:
        """Compare all checksums of the store, and decode every frame and mask.

        Args:
            workers: Number of threads.

        Returns:
            What is wrong with each file of crops that cannot be used, and with the index.
        """

        def attempt(each: tuple[str, str, str]) -> str:
            try:
                self._line(each, verify)
            except (CorpusError, VideoError) as error:
                return str(error)
            return ""

        files = sorted(list_crops(self.root))
        with ThreadPoolExecutor(workers) as pool:
            done = pool.map(attempt, files)
            damage = list(tqdm(done, total=len(files), desc="Verifying", unit="video"))
        try:
            self.index()
        except (CorpusError, VideoError) as error:
            damage.append(str(error))
        return list(dict.fromkeys(filter(None, damage)))

    def _line(
        self, file: tuple[str, str, str], read: Callable[[Path], CropHeader]
    ) -> dict[str, Any]:
        path = crops_path(self.root, *file)
        header = read(path)
        if (header.method, header.compression, header.name) != file:
            raise CorpusError(
                f"{path}: is of {header.key}, and was moved or renamed; put it back, or {REMEDY}"
            )
        line = header.to_dict()
        for bulky in ("times", "squares", "scores"):
            del line[bulky]
        line["fps"] = header.fps if math.isfinite(header.fps) else None
        line["frames"] = header.frames
        line["bytes"] = path.stat().st_size
        self._check(line)
        return line

    def _check(self, line: Mapping[str, Any]) -> None:
        """Check that a file was made from the corpus of the store with its settings."""
        expected = (self.name, self.compression, self.settings.digest())
        made = (line["corpus"], line["compression"], line["settings_digest"])
        if made != expected:
            path = crops_path(self.root, line["method"], line["compression"], line["name"])
            raise CorpusError(
                f"{path}: was made from {made[0]} {made[1]} with settings {made[2]}, but the store "
                f"is of {expected[0]} {expected[1]} with settings {expected[2]}: {REMEDY}"
            )
