"""Files that are either whole or not there, errors that name them, and their digests."""

import errno
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from deepfake_mtl.errors import CorpusError, FileNameError

UNFINISHED: Final = ".part"
"""Ending of a file that does not have its name yet: ``.<digest of the name>.<process>.part``."""

_TOO_LONG_ON_WINDOWS: Final = 206
_IN_USE: Final = (5, 32)  # ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION
_TRIES: Final = 40
_PAUSE: Final = 0.05
_PART: Final = 1 << 24


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
    # Not longer than the name itself may be.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{digest}.{os.getpid()}{UNFINISHED}")
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


def sha256_of(path: Path, alive: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of a file in hexadecimal digits.

    Args:
        path: The file.
        alive: Called now and then.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as content:
        while part := content.read(_PART):
            digest.update(part)
            alive()
    return digest.hexdigest()


class WholeFile:
    """A file being written, without a buffer: closing it cannot fail for want of room.

    Args:
        stream: The opened file, without a buffer.
        path: The name that it will have, for errors.

    Attributes:
        position: Where the next bytes go.
    """

    def __init__(self, stream: FileIO, path: Path) -> None:
        self.stream = stream
        self.path = path
        self.position = 0

    def seek(self, position: int) -> None:
        """Go to a position."""
        self.position = position

    def append(self, data: bytes) -> tuple[int, int, int]:
        """Write at the present position.

        Returns:
            Position, length and CRC-32 of what was written.

        Raises:
            CorpusError: There is no room.
        """
        entry = (self.position, len(data), zlib.crc32(data))
        rest = memoryview(data)
        with named_errors(self.path):
            self.stream.seek(self.position)
            while rest:
                written = self.stream.write(rest)
                self.position += written
                rest = rest[written:]
        return entry


@contextmanager
def open_whole(path: Path) -> Iterator[WholeFile]:
    """Open a file that takes its name when all of it is on the disk.

    Args:
        path: Where to; missing folders are made, a file that is there is replaced.

    Raises:
        FileNameError: The name is too long.
        CorpusError: The file cannot be written; what was there before is left as it was.
    """
    with ExitStack() as stack:
        with named_errors(path):
            stream = stack.enter_context(FileIO(stack.enter_context(whole_path(path)), "wb"))
        yield WholeFile(stream, path)
        with named_errors(path):
            os.fsync(stream.fileno())
            stack.close()


def is_there(path: Path) -> bool:
    """Return whether there is such a file; `Path.is_file` raises for a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing into an error that names the file."""
    try:
        yield
    except OSError as error:
        windows = getattr(error, "winerror", None)
        if error.errno == errno.ENAMETOOLONG or windows == _TOO_LONG_ON_WINDOWS:
            raise FileNameError(
                f"{path}: cannot be written, since this name is too long for the disk; give the "
                "video, or the folder that it is in, a shorter name"
            ) from error
        raise CorpusError(
            f"{path}: cannot be written ({error.strerror}); make room, or name another folder. "
            "What is finished is kept"
        ) from error
