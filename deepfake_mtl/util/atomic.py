"""Binary files that are either whole or not there, with errors that name them."""

import errno
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from deepfake_mtl.errors import CorpusError, FileNameError
from deepfake_mtl.util.files import replace

UNFINISHED: Final = ".part"
"""Ending of a file that does not have its name yet: ``.<digest of the name>.<process>.part``."""

_TOO_LONG_ON_WINDOWS: Final = 206


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
    # Not longer than the name itself may be.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{digest}.{os.getpid()}{UNFINISHED}")
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = FileIO(temporary, "wb")
    try:
        with stream:
            yield WholeFile(stream, path)
            with named_errors(path):
                os.fsync(stream.fileno())
        with named_errors(path):
            replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
