"""Folders of frames: images in the order of the numbers in their names."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video.colours import scale
from deepfake_mtl.data.video.container import REMEDY
from deepfake_mtl.data.video_info import IMAGE_SUFFIXES
from deepfake_mtl.errors import VideoError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_FLAGS: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION

_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker that ends the entropy-coded data of a JPEG: neither a stuffed byte nor a restart."""

_SCAN, _END, _FILL = 0xDA, 0xD9, 0xFF

_Key = tuple[tuple[int, str], ...]


def list_images(path: Path) -> list[Path]:
    """Return the images of a folder of frames, in the order of the numbers in their names.

    Raises:
        VideoError: There are none, or two are the same frame, as ``1.png``, ``1.jpg`` and
            ``01.png`` are.
    """
    images: dict[_Key, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in IMAGE_SUFFIXES or file.name.startswith("."):
            continue
        other = images.setdefault(_order(file), file)
        if other is not file:
            raise VideoError(
                f"{path}: {other.name} and {file.name} would both be the same frame; "
                "remove one of them"
            )
    if not images:
        raise VideoError(
            f"{path}: is a folder without frames; put PNG or JPEG images into it, "
            "or name a video file"
        )
    return [images[key] for key in sorted(images)]


def read_image(file: Path) -> tuple[NDArray[np.uint8], str]:
    """Decode an image, whatever its name ends with.

    Returns:
        RGB, shape (height, width, 3); and ``png`` or ``jpeg``.

    Raises:
        VideoError: It is cut short, damaged, or of another format.
    """
    data = file.read_bytes()
    kind = "png" if data.startswith(_PNG) else "jpeg" if data.startswith(_JPEG) else ""
    # OpenCV fills up what is missing of an image that is cut short.
    whole = _png_ends(data) if kind == "png" else _jpeg_ends(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS) if kind and whole else None
    if image is None:
        raise VideoError(
            f"{file}: cannot be decoded as an image (PNG or JPEG), or is cut short; {REMEDY}"
        )
    return np.asarray(image, np.uint8), kind


def read_images(images: list[Path], wanted: range) -> Iterator[NDArray[np.uint8]]:
    """Decode images of a folder, all at the size of the first image of the folder.

    Face crops of one video often differ in size from frame to frame. Scaling them to one size does
    what the transforms do anyway, who make squares of all; the same frame has the same bits in
    every clip.

    Args:
        images: What `list_images` returns.
        wanted: Numbers of the images.

    Yields:
        RGB, each of shape (height, width, 3).

    Raises:
        VideoError: An image cannot be decoded.
    """
    first, _ = read_image(images[0])
    height, width = first.shape[:2]
    for number in wanted:
        image = first if number == 0 else read_image(images[number])[0]
        yield image if image.shape == first.shape else scale(image, width, height)


def _order(file: Path) -> _Key:
    parts = re.findall(r"\d+|\D+", file.stem)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _png_ends(data: bytes) -> bool:
    """Return whether the chunks of a PNG reach its end chunk (PNG specification, section 5.3)."""
    place = len(_PNG)
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if name == b"IEND":
            return bool(place <= len(data))
    return False


def _jpeg_ends(data: bytes) -> bool:
    """Return whether the segments of a JPEG reach its end mark (ITU-T T.81, annex B).

    What follows the mark belongs to somebody else, as telephones append films; what lies within a
    segment, such as a small preview with an end mark of its own, does not count.
    """
    place = 2
    while place + 4 <= len(data) or data[place : place + 2] == bytes((_FILL, _END)):
        if data[place] != _FILL:
            return False
        marker = data[place + 1]
        if marker == _END:
            return True
        if marker == _FILL:  # markers may be preceded by fill bytes
            place += 1
            continue
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
        if marker == _SCAN:
            found = _AFTER_SCAN.search(data, place)
            if found is None:
                return False
            place = found.start()
    return False
