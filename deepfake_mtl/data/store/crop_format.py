"""The layout of a file of crops, which ``docs/store.md`` describes byte by byte.

Nothing of a file is kept open or remembered between two reads, so that threads and processes, be
they forked or spawned, may read alike.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.store.crop_settings import CODECS, Codec
from deepfake_mtl.errors import VideoError

SUFFIX: Final = ".crops"
VERSION: Final = 1
"""Version of the format of files and folder; raised whenever older programs would misread it."""

REMEDY: Final = "delete it and run `deepfake-mtl prepare` again, which makes only what is not there"

PREFIX: Final = struct.Struct("<8sII8sIIdQQQI56xI")
ENTRY: Final = np.dtype([("position", "<u8"), ("length", "<u4"), ("checksum", "<u4")])
Entry: TypeAlias = tuple[int, int, int]

_MAGIC: Final = b"\x89CROPS\r\n"
_CODES: Final = {codec.encode().ljust(8, b"\0"): codec for codec in CODECS}


class Prefix(NamedTuple):
    """The first 128 bytes of a file, apart from magic bytes, version and their checksum."""

    size: int
    codec: Codec
    frames: int
    masks: int
    fps: float
    table: int
    header: int
    end: int
    checksum: int

    def pack(self) -> bytes:
        """Return the 128 bytes."""
        size, codec, *numbers = self
        start = PREFIX.pack(_MAGIC, VERSION, size, codec.encode(), *numbers, 0)[:-4]
        return start + struct.pack("<I", zlib.crc32(start))


@contextmanager
def open_crops(path: Path) -> Iterator[tuple[FileIO, Prefix]]:
    """Open a file, and return it with its prefix; checksum and length are compared.

    Raises:
        VideoError: The file is missing, cut short, no file of crops, or cannot be read.
    """
    try:
        file = FileIO(path, "rb")
    except OSError as error:
        raise VideoError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    try:
        yield file, _read_prefix(path, file)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    finally:
        file.close()


def _read_prefix(path: Path, file: FileIO) -> Prefix:
    data = file.read(PREFIX.size)
    size_of_file = os.fstat(file.fileno()).st_size
    if not size_of_file:
        raise VideoError(f"{path}: is an empty file; {REMEDY}")
    if data[:8] != _MAGIC[: len(data)]:
        raise VideoError(f"{path}: is not a file of face crops; name one, or {REMEDY}")
    if len(data) < PREFIX.size:
        raise VideoError(f"{path}: is cut short, within its first 128 bytes; {REMEDY}")
    _, version, size, codec, *numbers, checksum = PREFIX.unpack(data)
    if version != VERSION:
        raise VideoError(
            f"{path}: has version {version} of the format, or is damaged; this program reads "
            f"version {VERSION}: prepare the store again, or take the program that made it"
        )
    if zlib.crc32(data[:-4]) != checksum:
        raise VideoError(f"{path}: its first 128 bytes are damaged; {REMEDY}")
    prefix = Prefix(size, _CODES.get(codec, "raw"), *numbers)
    if prefix.end != size_of_file:
        raise VideoError(
            f"{path}: has {size_of_file} bytes in the place of {prefix.end}: it is cut short or "
            f"was added to; {REMEDY}"
        )
    entries = (prefix.frames + prefix.masks) * ENTRY.itemsize
    if (
        codec not in _CODES
        or prefix.masks not in {0, prefix.frames}
        or not PREFIX.size <= prefix.table <= prefix.table + entries == prefix.header <= prefix.end
    ):
        raise VideoError(f"{path}: its first 128 bytes contradict each other; {REMEDY}")
    return prefix


def read_into(path: Path, file: FileIO, array: NDArray[Any], position: int) -> None:
    """Fill a contiguous array with what begins at a position."""
    rest = array.data.cast("B")
    file.seek(position)
    while rest:
        count = file.readinto(rest)
        if not count:
            raise VideoError(f"{path}: ended while it was read; {REMEDY}")
        rest = rest[count:]


def read_entries(path: Path, file: FileIO, prefix: Prefix, wanted: range) -> list[Entry]:
    """Return the entries of the table: position, length and checksum of frames, then of masks."""
    table = np.empty(wanted.stop - wanted.start, ENTRY)
    read_into(path, file, table.view(np.uint8), prefix.table + wanted.start * ENTRY.itemsize)
    return cast("list[Entry]", table[:: wanted.step].tolist())


def read_blob(path: Path, file: FileIO, prefix: Prefix, number: int, entry: Entry) -> bytes:
    """Return the bytes of a frame or mask, after comparing their checksum."""
    position, length, checksum = entry
    if not PREFIX.size <= position <= position + length <= prefix.table:
        raise damaged(path, prefix, number, "its place in the file is wrong")
    file.seek(position)
    blob = file.read(length)
    if zlib.crc32(blob) != checksum:
        raise damaged(path, prefix, number, "its checksum is wrong")
    return blob


def damaged(path: Path, prefix: Prefix, number: int, reason: str) -> VideoError:
    """Return what to raise about the frame or mask with this number in the table."""
    what = "frame" if number < prefix.frames else "the mask of frame"
    return VideoError(
        f"{path}: {what} {number % prefix.frames} of {prefix.frames} is damaged ({reason}); "
        f"{REMEDY}"
    )
