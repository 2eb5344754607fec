"""FaceForensics++ (Rössler et al., ICCV 2019) in the folder layout of its official download."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from deepfake_mtl.data.records import MANIPULATIONS, ORIGINAL, VideoRecord
from deepfake_mtl.errors import CorpusError

NAME: Final = "faceforensics"

Compression = Literal["raw", "c23", "c40"]
COMPRESSIONS: Final[tuple[Compression, ...]] = ("raw", "c23", "c40")

_FOLDERS: Final = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
"""Folders that may hold a compression: some scripts say ``c0`` where the download says ``raw``."""

_FORMS: Final = ("videos", "frames")
_VIDEO_SUFFIX: Final = ".mp4"


class FaceForensics:
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

    Args:
        root: The folder that holds ``original_sequences`` and ``manipulated_sequences``.
        compression: ``raw``, ``c23`` or ``c40``.

    Raises:
        CorpusError: The root is no FaceForensics++ folder, or holds nothing of this compression.
    """

    name: Final = NAME

    def __init__(self, root: str | os.PathLike[str], compression: Compression = "c23") -> None:
        if compression not in COMPRESSIONS:
            raise CorpusError(
                f"compression {compression!r} is not one of {', '.join(COMPRESSIONS)}"
            )
        self.root = Path(root)
        self.compression: Compression = compression
        self._check_root()

    @property
    def is_synthetic(self) -> bool:
        """Whether the folder was written by ``deepfake-mtl synthesize``."""
        return (self.root / "synthetic.json").is_file()

    @property
    def splits_folder(self) -> Path:
        """Where the lists of identities lie by default."""
        return self.root / "splits"

    def index(self, methods: Sequence[str] = MANIPULATIONS) -> list[VideoRecord]:
        """List the videos of originals and of some manipulations, without opening any.

        Args:
            methods: Manipulations to look for beside the originals.

        Returns:
            Records in the order of method and name. A method without videos contributes none:
            what is missing is decided by what is asked for (`deepfake_mtl.data.protocol`).

        Raises:
            CorpusError: There is not a single video or frame folder of this compression.
        """
        for form in _FORMS:
            records = [
                record
                for method in (ORIGINAL, *methods)
                for folder in self._folders(method, form)
                for record in self._records(folder, method, form)
            ]
            if records:
                return sorted(records, key=lambda record: (record.is_fake, record))
        raise CorpusError(self._nothing_found())

    def folder(self, method: str) -> Path:
        """Return the folder of a method's compressions, whether it exists or not."""
        if method == ORIGINAL:
            return self.root / "original_sequences" / "youtube"
        return self.root / "manipulated_sequences" / method

    def mask_path(self, record: VideoRecord) -> Path | None:
        """Return where the video of a fake's masks lies if it was downloaded; None of originals."""
        if not record.is_fake:
            return None
        return self.folder(record.method) / "masks" / "videos" / f"{record.name}{_VIDEO_SUFFIX}"

    def _folders(self, method: str, form: str) -> list[Path]:
        candidates = [self.folder(method) / name / form for name in _FOLDERS[self.compression]]
        return [folder for folder in candidates if folder.is_dir()][:1]

    def _records(self, folder: Path, method: str, form: str) -> Iterator[VideoRecord]:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (twice as fast here)
                if name.startswith("."):
                    continue
                if form == "videos":
                    if suffix.lower() != _VIDEO_SUFFIX:
                        continue
                elif not entry.is_dir():
                    continue
                else:
                    name = entry.name
                identities = tuple(name.split("_"))
                if len(identities) != (1 if method == ORIGINAL else 2):
                    expected = "TARGET" if method == ORIGINAL else "TARGET_SOURCE"
                    raise CorpusError(
                        f"{entry.path}: a video of {method} is named {expected}"
                        f"{_VIDEO_SUFFIX if form == 'videos' else ''}; move this file elsewhere "
                        "or give it its official name"
                    )
                yield VideoRecord(
                    corpus=NAME,
                    method=method,
                    compression=self.compression,
                    name=name,
                    identities=identities,
                    path=Path(entry.path),
                )

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise CorpusError(
                f"{self.root}: no such folder; --data.root names the folder of FaceForensics++, "
                "which holds original_sequences and manipulated_sequences"
            )
        if not (self.root / "original_sequences").is_dir():
            found = sorted(entry.name for entry in self.root.iterdir())[:8]
            raise CorpusError(
                f"{self.root}: not a FaceForensics++ folder: it should hold original_sequences and "
                f"manipulated_sequences, but holds {', '.join(found) or 'nothing'}; "
                "set --data.root to the folder that the official download script wrote to"
            )

    def _nothing_found(self) -> str:
        present = [
            compression
            for compression, folders in _FOLDERS.items()
            for folder in folders
            for form in _FORMS
            if (self.folder(ORIGINAL) / folder / form).is_dir()
        ]
        hint = (
            f"it has {', '.join(dict.fromkeys(present))}: choose with --data.compression"
            if present
            else "no compression is there"
        )
        return (
            f"{self.root}: no videos of compression {self.compression} in "
            f"{self.folder(ORIGINAL).relative_to(self.root)}/{self.compression}/videos; {hint}"
        )
