"""One form for all videos of a corpus: files, or folders of frames as images; never both."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.errors import CorpusError

VIDEO_SUFFIXES: Final = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
)

_FILES: Final = "files"
_FRAMES: Final = "folders of frames"

_log = logging.getLogger(__name__)


def video_name(path: Path) -> str:
    """Return the name of a video: that of its file without the ending, or of its folder."""
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


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
