"""The folders of FaceForensics++, which other corpora use as well."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from deepfake_mtl.data.corpora.base import listed_videos
from deepfake_mtl.data.corpora.forms import VIDEO_SUFFIXES, in_one_form
from deepfake_mtl.data.corpora.scanning import (
    BOX_SUFFIXES,
    describe_content,
    report_unexplained,
)
from deepfake_mtl.data.missing import DOWNLOAD, OnMissing
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.errors import CorpusError

Compression = Literal["raw", "c23", "c40"]
COMPRESSIONS: Final[tuple[Compression, ...]] = ("raw", "c23", "c40")

_FOLDERS: Final = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
"""Folders that may hold a compression: some scripts say ``c0`` where the download says ``raw``."""

_FORMS: Final = ("videos", "frames")


class FaceForensicsTree(ABC):
    """Originals and some manipulations of one compression below a FaceForensics++ root.

    Args:
        root: The folder that holds ``original_sequences`` and ``manipulated_sequences``.
        compression: ``raw``, ``c23`` or ``c40``; None is c23.
        on_missing: Whether test videos that are not there are an error, or are left out with a
            warning.

    Attributes:
        name: Name of the corpus.
        methods: Folders of its manipulations.
        originals: Folder of its originals.

    Raises:
        CorpusError: The root is no FaceForensics++ folder.
    """

    name: ClassVar[str]
    methods: ClassVar[tuple[str, ...]]
    originals: ClassVar[str]
    how_to_complete: Final = DOWNLOAD

    def __init__(
        self,
        root: str | os.PathLike[str],
        compression: str | None = None,
        *,
        on_missing: OnMissing = "error",
    ) -> None:
        compression = compression or "c23"
        if compression not in COMPRESSIONS:
            raise CorpusError(
                f"compression {compression!r} is not one of {', '.join(COMPRESSIONS)}"
            )
        self.root = Path(root)
        self.compression = compression
        self.on_missing: OnMissing = on_missing
        self._check_root()

    @property
    def is_synthetic(self) -> bool:
        """Whether the folder was written by ``deepfake-mtl synthesize``."""
        return (self.root / "synthetic.json").is_file()

    def index(self, methods: Sequence[str] | None = None) -> list[VideoRecord]:
        """List the videos of originals and of some manipulations, without opening any.

        Args:
            methods: Manipulations to look for beside the originals; None is all of the corpus.

        Returns:
            Records in the order of method and name. A method without videos contributes none:
            what is missing is decided by what is asked for (`deepfake_mtl.data.protocol`).

        Raises:
            CorpusError: There is not a single video or frame folder of this compression, or some
                are there as videos alone and others as frames alone.
        """
        records = in_one_form(self.root, self.candidates(methods))
        if not records:
            raise CorpusError(self._nothing_found())
        return records

    def candidates(self, methods: Sequence[str] | None = None) -> list[VideoRecord]:
        """List every file and every folder of frames; a video may be there as both.

        Args:
            methods: Names of the methods; see `index`.

        Raises:
            CorpusError: One has no name of the corpus.
        """
        methods = self.methods if methods is None else methods
        return [
            record
            for method in (ORIGINAL, *methods)
            for form, folder in self._folders(method, self.compression)
            for record in self._records(folder, method, form)
        ]

    @abstractmethod
    def test_list(self) -> list[str] | None:
        """Return the keys of the official test list; None where there is none."""

    def test_videos(self) -> list[VideoRecord]:
        """List the videos of `test_list`, or all where there is no list.

        Raises:
            CorpusError: Some are missing, and may not be.
            SplitError: The lists of identities are missing or wrong.
        """
        return listed_videos(self.index(), self.test_list(), self.on_missing)

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:  # noqa: ARG002 (of the protocol)
        """Return no keys: nothing tells which videos there should be."""
        return []

    @abstractmethod
    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of a fake's target; None of originals."""

    def folder(self, method: str) -> Path:
        """Return the folder of a method's compressions, whether it exists or not."""
        if method == ORIGINAL:
            return self.root / "original_sequences" / self.originals
        return self.root / "manipulated_sequences" / method

    def mask_path(self, record: VideoRecord) -> Path | None:
        """Return where the video of a fake's masks lies; None where there is none."""
        if not record.is_fake:
            return None
        folder = self.folder(record.method) / "masks" / "videos"
        candidates = [folder / f"{record.name}{suffix}" for suffix in sorted(VIDEO_SUFFIXES)]
        return next(filter(os.path.isfile, candidates), None)

    def _folders(self, method: str, compression: str) -> list[tuple[str, Path]]:
        """Return the folders that hold videos of a compression, with their form."""
        candidates = [
            (form, self.folder(method) / name / form)
            for name in _FOLDERS[compression]
            for form in _FORMS
        ]
        return [(form, folder) for form, folder in candidates if folder.is_dir()]

    @abstractmethod
    def _identities(self, method: str, name: str) -> tuple[str, ...] | None:
        """Return who is to be seen; None if the name does not belong to the corpus."""

    @abstractmethod
    def _expected_name(self, method: str) -> str:
        """Return what videos of a method are named, for messages."""

    def _records(self, folder: Path, method: str, form: str) -> Iterator[VideoRecord]:
        passed = []
        with os.scandir(folder) as entries:
            for entry in entries:
                name, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (twice as fast here)
                if name.startswith("."):
                    continue
                if suffix.lower() not in VIDEO_SUFFIXES if form == "videos" else not entry.is_dir():
                    if suffix.lower() not in BOX_SUFFIXES:
                        passed.append(Path(entry.path))
                    continue
                if form == "frames":
                    name = entry.name
                identities = self._identities(method, name)
                if identities is None:
                    expected = self._expected_name(method)
                    raise CorpusError(
                        f"{entry.path}: a video of {method} is named {expected}; move this one "
                        "elsewhere or give it its official name"
                    )
                yield VideoRecord(
                    corpus=self.name,
                    method=method,
                    compression=self.compression,
                    name=name,
                    identities=identities,
                    path=Path(entry.path),
                )
        report_unexplained(folder, sorted(passed))

    def _check_root(self) -> None:
        expected = "original_sequences and manipulated_sequences"
        if not self.root.is_dir():
            raise CorpusError(
                f"{self.root}: no such folder; name the folder of FaceForensics++, which holds "
                f"{expected}"
            )
        if not (self.root / "original_sequences").is_dir():
            raise CorpusError(
                f"{self.root}: not a FaceForensics++ folder: it should hold {expected}, but holds "
                f"{describe_content(self.root)}; name the folder that the official download script "
                "wrote to, or the corpus that it is"
            )

    def _nothing_found(self) -> str:
        place = self.folder(ORIGINAL).relative_to(self.root) / self.compression / "videos"
        present = [
            compression
            for compression in COMPRESSIONS
            for form, folder in self._folders(ORIGINAL, compression)
            if compression != self.compression
            if any(self._records(folder, ORIGINAL, form))
        ]
        hint = (
            f"it has {', '.join(dict.fromkeys(present))}: choose with `compression`"
            if present
            else "no compression is there"
        )
        return f"{self.root}: no videos of compression {self.compression} in {place}; {hint}"


def check_fakes(corpus: FaceForensicsTree, records: list[VideoRecord]) -> list[VideoRecord]:
    """Return the records, among which there must be fakes.

    Raises:
        CorpusError: There are originals only.
    """
    if not any(record.is_fake for record in records):
        method = corpus.methods[0]
        raise CorpusError(
            f"{corpus.folder(method)}: no videos of compression {corpus.compression}; download "
            f"them with the script of FaceForensics++ (-d {method} -c {corpus.compression})"
        )
    return records
