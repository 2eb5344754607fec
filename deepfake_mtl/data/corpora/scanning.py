"""Looks into the folders of a corpus, and says so when there is something else than expected."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfake_mtl.data.corpora.forms import VIDEO_SUFFIXES, in_one_form
from deepfake_mtl.data.missing import some_of
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import CorpusError

_IMAGE_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg"))
BOX_SUFFIXES: Final = frozenset((".csv", ".json"))
"""Suffixes of files of face boxes, which may lie beside the videos that they belong to."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, apart from hidden files; each sorted by name.

    Attributes:
        videos: Video files.
        frames: Folders that hold images: each stands for a video.
        folders: Other folders.
        others: Other files, except boxes of faces that belong to a video.
    """

    videos: tuple[Path, ...]
    frames: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """Look into one folder.

    Raises:
        CorpusError: It cannot be read.
    """
    videos: list[Path] = []
    frames: list[Path] = []
    folders: list[Path] = []
    others: list[Path] = []
    try:
        with os.scandir(folder) as scan:
            entries = sorted((e for e in scan if not e.name.startswith(".")), key=lambda e: e.name)
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                (frames if _holds_images(path) else folders).append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                videos.append(path)
            else:
                others.append(path)
    except OSError as error:
        raise CorpusError(
            f"{error.filename}: cannot be read ({error.strerror}); check the folder and its rights"
        ) from error
    stems = {path.stem for path in videos} | {path.name for path in frames}
    unknown = [
        path for path in others if path.suffix.lower() not in BOX_SUFFIXES or path.stem not in stems
    ]
    return Listing(tuple(videos), tuple(frames), tuple(folders), tuple(unknown))


def list_videos(folder: Path) -> list[Path]:
    """List the videos of a folder: files and folders of frames, one beside the other.

    They lie in the folder itself, or in ``videos`` and ``frames`` below it, as some benchmarks lay
    them out. Whatever else is there is named in a warning.
    """
    below = [folder / "videos", folder / "frames"]
    videos: list[Path] = []
    for place in (folder, *below):
        if place != folder and not place.is_dir():
            continue
        found = list_folder(place)
        videos += [*found.videos, *found.frames]
        unknown = [path for path in found.folders if path not in below]
        report_unexplained(place, [*unknown, *found.others])
    return videos


def report_unexplained(folder: Path, paths: Sequence[Path]) -> None:
    """Warn of what no rule explains, so that nothing is left out in silence."""
    if paths:
        _log.warning(
            "%s: %d entries are none of the corpus' videos and are left out: %s",
            folder,
            len(paths),
            some_of([path.name for path in paths]),
        )


def report_others(root: Path, known: Iterable[str]) -> None:
    """Warn of what lies in the root of a corpus beside what belongs there."""
    names = {*known, "synthetic.json"}
    report_unexplained(
        root,
        sorted(path for path in root.iterdir() if path.name not in names and path.name[0] != "."),
    )


def ordered(root: Path, candidates: Iterable[VideoRecord]) -> list[VideoRecord]:
    """Return the videos of a corpus in the order of an index, in one form.

    Raises:
        CorpusError: There are none, or see `in_one_form`.
    """
    records = in_one_form(root, candidates)
    if not records:
        raise CorpusError(f"{root}: there is not a single video; check that all was unpacked")
    return records


def _holds_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(
            os.path.splitext(entry.name)[1].lower() in _IMAGE_SUFFIXES  # noqa: PTH122 (faster)
            for entry in entries
            if not entry.name.startswith(".")
        )
