"""What the headers of videos say, kept from one start to the next.

A corpus of a hundred thousand videos takes minutes to hours to open, at each start and on each
rank. Sizes and times of files, which tell whether one has changed, take seconds.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import av
from filelock import FileLock

from deepfake_mtl import __version__
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import VideoError
from deepfake_mtl.util.downloads import cache_folder
from deepfake_mtl.util.files import write_whole

READ_BY: Final = f"deepfake_mtl {__version__}, PyAV {av.__version__}"
"""What the kept headers were read by: another version may count otherwise."""

Header = VideoInfo | VideoError
Stamp = tuple[int, int]
"""Size of a file in bytes, and when it was changed, in nanoseconds."""

_log = logging.getLogger(__name__)


def cached_headers(
    root: Path, paths: Sequence[Path], read: Callable[[Sequence[Path]], Iterator[Header]]
) -> list[Header]:
    """Return what the headers of videos say; those that are kept and have not changed are not read.

    Ranks that start together wait for the first of them, and read what it has kept. Videos that
    cannot be opened are tried again at each start. What was read before an interruption is kept.

    Args:
        root: Folder of the corpus, which has a file of its own in the cache.
        paths: Videos: files or folders.
        read: Reads the headers of some of them, one after the other.

    Returns:
        For each video what its header says, or why it cannot be opened.
    """
    stamps = [_stamp(path) for path in paths]
    path = cache_folder() / "headers" / f"{_digest(str(root.absolute()))}.json"
    found = _find(paths, stamps, _load(path))
    if None not in found:
        return [each for each in found if each is not None]
    with _alone(path) as kept:
        known = _load(path)
        found = _find(paths, stamps, known)
        lacking = [place for place, each in enumerate(found) if each is None]
        try:
            for place, header in zip(lacking, read([paths[p] for p in lacking]), strict=True):
                found[place] = header
        finally:
            if kept and lacking:
                _save(path, known, paths, stamps, found)
    return [each for each in found if each is not None]


def _find(
    paths: Sequence[Path], stamps: Sequence[Stamp | None], known: Mapping[str, Any]
) -> list[Header | None]:
    found: list[Header | None] = []
    for path, stamp in zip(paths, stamps, strict=True):
        entry = known.get(str(path))
        same = entry is not None and stamp is not None and tuple(entry[:2]) == stamp
        found.append(VideoInfo(*entry[2:]) if entry is not None and same else None)
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        videos: dict[str, Any] = content["videos"] if content["read_by"] == READ_BY else {}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: it is made again
        return {}
    return videos


def _save(
    path: Path,
    known: Mapping[str, Any],
    paths: Sequence[Path],
    stamps: Sequence[Stamp | None],
    headers: Sequence[Header | None],
) -> None:
    videos = dict(known)
    for video, stamp, header in zip(paths, stamps, headers, strict=True):
        if stamp is not None and isinstance(header, VideoInfo):
            videos[str(video)] = [*stamp, *astuple(header)]
    try:
        write_whole(path, json.dumps({"read_by": READ_BY, "videos": videos}))
    except OSError as error:
        _log.info("headers are read anew at each start: %s (%s)", path, error)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the lock of a file; yields whether there is one to be had."""
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        _log.info("headers are read anew at each start: %s (%s)", path, error)
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (as fast as it gets)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
