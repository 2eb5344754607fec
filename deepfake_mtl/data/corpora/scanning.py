"""Looks into the folders of a corpus, and says so when there is something else than expected."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deepfake_mtl.data.missing import some_of
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.video_info import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from deepfake_mtl.errors import CorpusError

_FILES: Final = "files"
_FRAMES: Final = "folders of frames"

BOX_SUFFIXES: Final = (".csv", ".json")
"""Suffixes of files of face boxes, which may lie beside the videos that they belong to."""

_log = logging.getLogger(__name__)


def video_name(path: Path) -> str:
    """Return the name of a video: that of its file without the ending, or of its folder."""
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


class Listing(NamedTuple):
    """What a folder holds, apart from hidden files; each sorted by name.

    Attributes:
        videos: Video files.
        frames: Folders that hold images: each stands for a video.
        folders: Other folders.
        others: Other files, except boxes of faces that belong to a video.
    """

    videos: list[Path]
    frames: list[Path]
    folders: list[Path]
    others: list[Path]


def list_folder(folder: Path) -> Listing:
    """Look into one folder.

    Raises:
        CorpusError: It cannot be read.
    """
    found = Listing([], [], [], [])
    try:
        with os.scandir(folder) as scan:
            entries = sorted((e for e in scan if not e.name.startswith(".")), key=lambda e: e.name)
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                (found.frames if _holds_images(path) else found.folders).append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                found.videos.append(path)
            else:
                found.others.append(path)
    except OSError as error:
        raise CorpusError(
            f"{error.filename}: cannot be read ({error.strerror}); check the folder and its rights"
        ) from error
    names = {video_name(path) for path in (*found.videos, *found.frames)}
    found.others[:] = [
        path
        for path in found.others
        if path.suffix.lower() not in BOX_SUFFIXES or path.stem not in names
    ]
    return found


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
            os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (faster)
            for entry in entries
            if not entry.name.startswith(".")
        )


def in_one_form(root: Path, candidates: Iterable[VideoRecord]) -> list[VideoRecord]:
    """Choose the form in which all videos are there, files before folders of frames.

    Were some read from files and others from frames, a detector could tell fakes by how they are
    stored; were only one form read, whatever is there in the other alone would be lost.

    Args:
        root: Folder of the corpus, for messages.
        candidates: Every file and every folder of frames; a video may be there as both.

    Returns:
        One record for each video, in the order of an index: originals first.

    Raises:
        CorpusError: No form holds all videos, or two paths of one form would be the same video.
    """
    held: dict[str, dict[str, VideoRecord]] = {_FILES: {}, _FRAMES: {}}
    for record in candidates:
        form = _FILES if record.path.suffix.lower() in VIDEO_SUFFIXES else _FRAMES
        other = held[form].setdefault(record.key, record)
        if other is not record and not other.path.samefile(record.path):
            raise CorpusError(
                f"{other.path} and {record.path} would both be the video {record.key}; rename or "
                "remove one of them"
            )
    there = held[_FILES].keys() | held[_FRAMES].keys()
    whole = [form for form, videos in held.items() if videos.keys() == there]
    if not whole:
        raise CorpusError(
            f"{root}: some videos are there as files alone, others as folders of frames alone: "
            f"{_counts(held)}. Real and fake have to be stored in the same form: convert one to "
            "the other, or move one elsewhere"
        )
    if whole == [_FRAMES] and held[_FILES]:
        _log.warning(
            "%s: read as folders of frames, since files are not there of all videos: %s",
            root,
            _counts(held),
        )
    return sorted(held[whole[0]].values(), key=lambda record: (record.is_fake, record))


def _counts(held: dict[str, dict[str, VideoRecord]]) -> str:
    methods = {record.method for videos in held.values() for record in videos.values()}
    counts = []
    for method in sorted(methods, key=lambda method: (method != ORIGINAL, method)):
        numbers = " and ".join(
            f"{sum(record.method == method for record in videos.values())} {form}"
            for form, videos in held.items()
        )
        counts.append(f"{method} {numbers}")
    return "; ".join(counts)
