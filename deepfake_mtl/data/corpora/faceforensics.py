"""FaceForensics++ (Rössler et al., ICCV 2019) in the folder layout of its official download."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar, Final

from deepfake_mtl.data.corpora.faceforensics_tree import FaceForensicsTree
from deepfake_mtl.data.records import MANIPULATIONS, ORIGINAL, VideoRecord
from deepfake_mtl.data.splits import read_splits

NAME: Final = "faceforensics"


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
