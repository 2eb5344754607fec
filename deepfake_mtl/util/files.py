"""Files that are either whole or not there, and their digests."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_IN_USE: Final = (5, 32)  # ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION
_TRIES: Final = 40
_PAUSE: Final = 0.05


def replace(temporary: Path, path: Path) -> None:
    """Give a finished file or folder its name; a file that has it is replaced.

    Windows refuses to while somebody has the file open, as readers and virus scanners do for
    moments: there it is tried again for two seconds.

    Args:
        temporary: The finished one, on the same disk.
        path: Name of the file.

    Raises:
        OSError: The system refuses; both are as they were.
    """
    for remaining in reversed(range(_TRIES)):
        try:
            temporary.replace(path)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE or not remaining:
                raise
            time.sleep(_PAUSE)
        else:
            return


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a path, which takes the path's name if no error is raised.

    Args:
        path: Where the file goes; missing folders are made, a file that is there is replaced.

    Raises:
        OSError: The file cannot be written; what was there before is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> Path:
    """Write a text file by way of a temporary one beside it.

    Args:
        path: Where to; missing folders are made, a file that is there is replaced.
        text: Written as UTF-8, its line ends as they are.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written; what was there before is left as it was.
    """
    with whole_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
