"""Binary files that are either whole or not there, with errors that name them."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfake_mtl.errors import CorpusError


class WholeFile:
    """A file being written, without a buffer: closing it cannot fail for want of room.

    Args:
        descriptor: Of the opened file.
        path: The name that it will have, for errors.

    Attributes:
        position: Where the next bytes go.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path
        self.position = 0

    def seek(self, position: int) -> None:
        """Goes to a position."""
        self.position = position

    def append(self, data: bytes) -> tuple[int, int, int]:
        """Writes at the present position.

        Returns:
            Position, length and CRC-32 of what was written.

        Raises:
            CorpusError: There is no room.
        """
        entry = (self.position, len(data), zlib.crc32(data))
        rest = memoryview(data)
        with named_errors(self.path):
            while rest:
                written = os.pwrite(self.descriptor, rest, self.position)
                self.position += written
                rest = rest[written:]
        return entry


@contextmanager
def open_whole(path: Path) -> Iterator[WholeFile]:
    """A file that takes its name when all of it is on the disk.

    Args:
        path: Where to; missing folders are made, a file that is there is replaced.

    Raises:
        CorpusError: The file cannot be written; what was there before is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        try:
            yield WholeFile(descriptor, path)
            with named_errors(path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with named_errors(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turns what the system says about writing into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be written ({error.strerror}); make room, or name another folder. "
            "What is finished is kept"
        ) from error
