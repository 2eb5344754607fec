"""FaceForensics++ (Rössler et al., ICCV 2019) in the folder layout of its official download."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.scanning import BOX_SUFFIXES, in_one_form, report_unexplained
from deepfake_mtl.data.records import MANIPULATIONS, ORIGINAL, VideoRecord
from deepfake_mtl.data.splits import read_splits
from deepfake_mtl.data.video_info import VIDEO_SUFFIXES
from deepfake_mtl.errors import CorpusError

NAME: Final = "faceforensics"

Compression = Literal["raw", "c23", "c40"]
COMPRESSIONS: Final[tuple[Compression, ...]] = ("raw", "c23", "c40")

_FOLDERS: Final = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
"""Folders that may hold a compression: some scripts say ``c0`` where the download says ``raw``."""


class FaceForensicsTree(CorpusReader):
    """Originals and some manipulations of one compression below a FaceForensics++ root.

    Args:
        root: The folder that holds ``original_sequences`` and ``manipulated_sequences``.
        compression: ``raw``, ``c23`` or ``c40``; None is c23.
        on_missing: Whether test videos that are not there are an error, or are left out with a
            warning.

    Attributes:
        methods: Folders of its manipulations.
        originals: Folder of its originals.
        names: What originals, then fakes, are named: the groups are who is to be seen.
        rules: What `names` says, for messages.

    Raises:
        CorpusError: The root is no FaceForensics++ folder.
    """

    title = "FaceForensics++"
    compression = "c23"
    compressions = COMPRESSIONS
    holds = ("original_sequences",)
    remedy = (
        "name the folder that the official download script wrote to, which holds "
        "manipulated_sequences too, or the corpus that it is"
    )
    methods: ClassVar[tuple[str, ...]]
    originals: ClassVar[str]
    names: ClassVar[tuple[re.Pattern[str], re.Pattern[str]]]
    rules: ClassVar[tuple[str, str]]

    def index(self) -> list[VideoRecord]:
        """List all videos, without opening any.

        Returns:
            Records in the order of method and name. A method without videos contributes none:
            what is missing is decided by what is asked for (`deepfake_mtl.data.protocol`).

        Raises:
            CorpusError: There is not a single video or frame folder of this compression, nor a fake
                of a corpus of one method, or some are there as videos alone and others as frames
                alone.
        """
        records = in_one_form(self.root, self.candidates(self.methods))
        if not records:
            raise CorpusError(self._nothing_found())
        method = self.methods[0]
        if len(self.methods) == 1 and not any(record.is_fake for record in records):
            raise CorpusError(
                f"{self.folder(method)}: no videos of compression {self.compression}; download "
                f"them with the script of FaceForensics++ (-d {method} -c {self.compression})"
            )
        return records

    def candidates(self, methods: Sequence[str]) -> list[VideoRecord]:
        """List every file and every folder of frames; a video may be there as both.

        Args:
            methods: Manipulations to look for beside the originals.

        Raises:
            CorpusError: One has no name of the corpus.
        """
        return [
            self._named(
                method,
                path,
                self.names[method != ORIGINAL],
                f"a video of {method} is named {self.rules[method != ORIGINAL]}",
            )
            for method in (ORIGINAL, *methods)
            for path in self._videos(method, self.compression)
        ]

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

    def _videos(self, method: str, compression: str) -> list[Path]:
        """List the files and folders of frames of a method; warn of whatever else is there."""
        videos: list[Path] = []
        for folder in (
            self.folder(method) / name / form
            for name in _FOLDERS[compression]
            for form in ("videos", "frames")
        ):
            passed = []
            for entry in os.scandir(folder) if folder.is_dir() else ():
                path = Path(entry.path)
                is_file = path.suffix.lower() in VIDEO_SUFFIXES
                if entry.name.startswith("."):
                    continue
                if is_file if folder.name == "videos" else entry.is_dir():
                    videos.append(path)
                elif path.suffix.lower() not in BOX_SUFFIXES:
                    passed.append(path)
            report_unexplained(folder, sorted(passed))
        return videos

    def _nothing_found(self) -> str:
        place = self.folder(ORIGINAL).relative_to(self.root) / self.compression / "videos"
        present = [each for each in COMPRESSIONS if self._videos(ORIGINAL, each)]
        hint = (
            f"it has {', '.join(present)}: choose with `compression`"
            if present
            else "no compression is there"
        )
        return f"{self.root}: no videos of compression {self.compression} in {place}; {hint}"


class FaceForensics(FaceForensicsTree):
    """The videos of one compression under a FaceForensics++ root.

    The folder is read as the official download script writes it, or as DeepfakeBench does, with a
    folder of frames in the place of each video::

        root/
          original_sequences/youtube/{raw,c23,c40}/videos/004.mp4
          manipulated_sequences/Deepfakes/{raw,c23,c40}/videos/004_982.mp4   (target_source)
          manipulated_sequences/Face2Face/...
          manipulated_sequences/FaceSwap/...
          manipulated_sequences/NeuralTextures/...
          splits/{train,val,test}.json                                       (optional)

        or  .../{raw,c23,c40}/frames/004/000.png

    All methods are read in the same form: videos, or frames where no videos are there at all.
    Mixing them would let a detector tell fakes by how they were stored.

    The test videos are those of ``splits/test.json``, the official list of identities: 140
    originals, and 140 fakes of each manipulation.

    Args:
        root: The folder that holds ``original_sequences`` and ``manipulated_sequences``.
        compression: ``raw``, ``c23`` or ``c40``; None is c23.
        on_missing: Whether test videos that are not there are an error, or are left out with a
            warning.

    Raises:
        CorpusError: The root is no FaceForensics++ folder, or holds nothing of this compression.
    """

    name = NAME
    methods: ClassVar[tuple[str, ...]] = MANIPULATIONS
    originals = "youtube"
    names = (re.compile(r"([^_]*)"), re.compile(r"([^_]*)_([^_]*)"))
    rules = ("TARGET", "TARGET_SOURCE")

    @property
    def splits_folder(self) -> Path:
        """Where the lists of identities lie by default."""
        return self.root / "splits"

    def test_list(self) -> list[str] | None:
        """Return the keys of the videos that ``splits/test.json`` stands for.

        Raises:
            SplitError: The lists of identities are missing or wrong.
        """
        return keys_of_test(self.splits_folder, self.name, self.compression, self.methods)

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:
        """Return the keys of the videos that the lists of identities stand for.

        Without lists, every method should have the pairs that any has, and the originals of these.

        Raises:
            SplitError: The lists of identities are damaged.
        """
        if any(self.splits_folder.glob("*.json")):
            splits = read_splits(self.splits_folder).values()
            originals = {name for split in splits for name in split.originals}
            fakes = {name for split in splits for name in split.fakes}
        else:
            fakes = {record.name for record in records if record.is_fake}
            originals = {name for fake in fakes for name in fake.split("_")}
        return _keys(self.name, self.compression, self.methods, originals, fakes)

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of a fake's target; None of originals."""
        return record.identities[0] if record.is_fake else None


def keys_of_test(
    splits_folder: Path, corpus: str, compression: str, methods: Sequence[str]
) -> list[str]:
    """Return the keys of the videos that ``test.json`` of a folder of official lists stands for.

    Args:
        splits_folder: Folder of ``train.json``, ``val.json`` and ``test.json``.
        corpus: Name of the corpus.
        compression: Compression of its videos.
        methods: Manipulations.

    Raises:
        SplitError: The lists are missing or wrong.
    """
    test = read_splits(splits_folder)["test"]
    return _keys(corpus, compression, methods, test.originals, test.fakes)


def _keys(
    corpus: str,
    compression: str,
    methods: Sequence[str],
    originals: Collection[str],
    fakes: Collection[str],
) -> list[str]:
    videos = [(ORIGINAL, name) for name in sorted(originals)]
    videos += [(method, name) for method in methods for name in sorted(fakes)]
    return [f"{corpus}/{method}/{compression}/{name}" for method, name in videos]
