"""What keeps a store as its corpus is, and in one hand while it is written to."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from deepfake_mtl.data.missing import some_of
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.folder import crops_path, list_crops
from deepfake_mtl.errors import CorpusError
from deepfake_mtl.util.files import UNFINISHED, named_errors

STALE: Final = "stale"
"""Folder of a store for crops of videos that the corpus does not have, or not any more."""

_LOCK: Final = ".prepare.lock"
_PAUSE: Final = 0.02


@contextmanager
def lock_store(root: Path) -> Iterator[None]:
    """Be the only process that writes to a store.

    Raises:
        CorpusError: Another process does, or the folder cannot be written to.
    """
    with named_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CorpusError(
            f"{root}: another `deepfake-mtl prepare` is writing to this store; wait until it has "
            "ended, or name another folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise CorpusError(
            f"{root / _LOCK}: cannot be locked ({error}); name a folder that can be written to, on "
            "a disk that has locks"
        ) from error
    try:
        yield
    finally:
        lock.release()


def remove_unfinished(root: Path, patience: float = 10.0) -> int:
    """Delete what processes that are gone have left half written.

    Processes that crop may outlive the command that started them for moments, and a process that
    was killed takes moments to end: they are waited for. What belongs to one that goes on is left
    alone.

    Args:
        root: A store that is locked, to which this process has not begun to write.
        patience: Seconds to wait.

    Returns:
        Number of files deleted.
    """
    deadline = time.monotonic() + patience
    waiting = [path for path in sorted(root.rglob(f".*{UNFINISHED}")) if path.is_file()]
    found = len(waiting)
    while waiting:
        running = [path for path in waiting if _is_running(path.name.split(".")[-2])]
        for path in set(waiting) - set(running):
            path.unlink(missing_ok=True)
        waiting = running
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE if waiting else 0)
    return found - len(waiting)


def match_corpus(root: Path, records: Collection[VideoRecord]) -> list[tuple[str, str, str]]:
    """Set aside the crops of videos that the corpus does not have, and take back those that it has.

    Nothing is deleted: crops are moved to the folder `STALE` of the store, and from there.

    Args:
        root: A store that is locked.
        records: The videos of the corpus.

    Returns:
        Method, compression and name of what is set aside, also earlier.

    Raises:
        CorpusError: The store has crops, but none of this corpus; or a file cannot be moved.
    """
    wanted = {(record.method, record.compression, record.name) for record in records}
    there = set(list_crops(root))
    stale = sorted(there - wanted)
    if there and not there & wanted:
        some = some_of(["/".join(each) for each in stale])
        raise CorpusError(
            f"{root}: none of its {len(there)} crops ({some}) is of a video of this corpus; check "
            "the folder of the corpus, or name another store"
        )
    for each in stale:
        _move(crops_path(root, *each), crops_path(root / STALE, *each))
    for each in sorted(wanted & set(list_crops(root / STALE)) - there):
        _move(crops_path(root / STALE, *each), crops_path(root, *each))
    return sorted(list_crops(root / STALE))


def _move(source: Path, target: Path) -> None:
    with named_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _is_running(process: str) -> bool:
    """Return whether another process runs; one that has ended but was not waited for does not."""
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        return bool(psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
