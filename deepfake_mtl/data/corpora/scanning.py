"""Looks into the folders of a corpus, and says so when there is something else than expected."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import CorpusError

VIDEO_SUFFIXES: Final = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
)
_IMAGE_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg"))
BOX_SUFFIXES: Final = frozenset((".csv", ".json"))
"""Of boxes of faces, which may lie beside the videos that they belong to."""

_NAMED: Final = 5

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
    """List the videos of a folder, or its folders of frames where it has no videos.

    Where it has neither, they are looked for in ``videos`` and ``frames`` below it, as some
    benchmarks lay them out. What is passed over is said in a warning.
    """
    for place in (folder, folder / "videos", folder / "frames"):
        if place != folder and not place.is_dir():
            continue
        found = list_folder(place)
        if chosen := found.videos or found.frames:
            passed = found.frames if found.videos else ()
            report_unexplained(place, [*passed, *found.folders, *found.others])
            return list(chosen)
    return []


def report_unexplained(folder: Path, paths: Sequence[Path]) -> None:
    """Warn of what no rule explains, so that nothing is left out in silence."""
    if paths:
        some = ", ".join(path.name for path in paths[:_NAMED])
        _log.warning(
            "%s: %d entries are none of the corpus' videos and are left out: %s",
            folder,
            len(paths),
            some + (", ..." if len(paths) > _NAMED else ""),
        )


def report_others(root: Path, known: Iterable[str]) -> None:
    """Warn of what lies in the root of a corpus beside what belongs there."""
    names = {*known, "synthetic.json"}
    report_unexplained(
        root,
        sorted(path for path in root.iterdir() if path.name not in names and path.name[0] != "."),
    )


def check_folder(root: Path, title: str, expected: Sequence[str], remedy: str) -> None:
    """See that a folder is that of a corpus.

    Args:
        root: The folder.
        title: The corpus, for the message.
        expected: Files and folders that must be there.
        remedy: What to do if they are not.

    Raises:
        CorpusError: There is no such folder, or something is missing in it.
    """
    if not root.is_dir():
        raise CorpusError(
            f"{root}: no such folder; name the folder of {title}, which holds "
            f"{' and '.join(expected)}"
        )
    if any(not (root / name).exists() for name in expected):
        raise CorpusError(
            f"{root}: not a folder of {title}: it should hold {' and '.join(expected)}, but holds "
            f"{describe_content(root)}; {remedy}"
        )


def describe_content(folder: Path) -> str:
    """Name some of what a folder holds, for messages."""
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"


def ordered(root: Path, records: Iterable[VideoRecord]) -> list[VideoRecord]:
    """Return records in the order of an index: originals first.

    Raises:
        CorpusError: There are none, two have the same key, or some are videos and some are folders
            of frames: a detector could tell fakes by how they were stored.
    """
    by_key: dict[str, VideoRecord] = {}
    for record in records:
        other = by_key.setdefault(record.key, record)
        if other is not record:
            raise CorpusError(
                f"{other.path} and {record.path} would both be the video {record.key}; rename or "
                "remove one of them"
            )
    if not by_key:
        raise CorpusError(f"{root}: there is not a single video; check that all was unpacked")
    paths = [record.path for record in by_key.values()]
    by_form = {path.suffix.lower() not in VIDEO_SUFFIXES: path for path in paths}
    if len(by_form) > 1:
        raise CorpusError(
            f"{by_form[False]} is a video and {by_form[True]} a folder of frames: real and fake "
            "have to be stored in the same form; convert one to the other, or move it elsewhere"
        )
    return sorted(by_key.values(), key=lambda record: (record.is_fake, record))


def _holds_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(
            os.path.splitext(entry.name)[1].lower() in _IMAGE_SUFFIXES  # noqa: PTH122 (faster)
            for entry in entries
            if not entry.name.startswith(".")
        )
