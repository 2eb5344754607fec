"""Squares cut out of frames, to a fraction of a pixel."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video import Frame
from deepfake_mtl.data.video.colours import Window
from deepfake_mtl.errors import ConfigurationError

Square: TypeAlias = tuple[float, float, float]
"""Left edge, upper edge and side in pixels of a frame.

Pixel (row r, column c) covers the square from (c, r) to (c + 1, r + 1).
"""


def covered(squares: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Return what crops cover: squares of ``margin * side`` around the same centres.

    Args:
        squares: Centre x, centre y and side, shape (..., 3).
        margin: How much larger than the squares the crops are (FaceForensics++ has 1.3, so that
            the face fills 77 % of the side).

    Returns:
        Left edge, upper edge and side in pixels, shape (..., 3).
    """
    x, y, side = np.moveaxis(np.asarray(squares, np.float64), -1, 0)
    half = side * margin / 2
    return np.stack([x - half, y - half, 2 * half], axis=-1)


def crop(frame: NDArray[np.uint8], square: Square, size: int) -> NDArray[np.uint8]:
    """Cut a square out of a frame and scale it.

    Where a pixel of the crop is larger than one of the frame, the frame is averaged over boxes of
    just that size first (so it does not alias); then it is sampled with bicubic interpolation at
    the exact places. Both are continuous in place and side: a square that glides over the picture
    gives crops that glide, where rounding to whole pixels would jump, and the sharpness does not
    jump where shrinking begins. Beyond its borders, the frame goes on with the colours of its
    outermost pixels: a mirror would show half a second face.

    Masks are cut by the same function; a value between the two of a mask tells how much of the
    pixel is covered.

    Args:
        frame: Shape (height, width, 3), or (height, width) for a mask.
        square: What the crop shows of it.
        size: Side of the crop in pixels.

    Returns:
        Shape (size, size, 3), or (size, size) for a mask.

    Raises:
        ConfigurationError: The size or the side is not positive, or not a number.
    """
    left, top, side = square
    if size < 1 or not 0 < side < np.inf or not np.isfinite(left + top):
        raise ConfigurationError(
            f"a crop of size={size} and square={square} has no pixels; size and side must be "
            "greater than 0"
        )
    step = side / size
    rows, columns = looked_at(square, size, *frame.shape[:2])
    frame = frame[rows.start : rows.stop, columns.start : columns.stop]
    # From the middle of a crop's pixel to the frame, both counted from the middle of pixel (0, 0).
    left = left - columns.start + step / 2 - 0.5
    top = top - rows.start + step / 2 - 0.5
    if step > 1:
        kernel = _box(step)
        reach = _reach(step)
        column, across = _span(left - reach, side + 2 * reach, frame.shape[1], reach)
        row, down = _span(top - reach, side + 2 * reach, frame.shape[0], reach)
        around = _cut(frame, row, down, column, across)
        exact = cv2.sepFilter2D(around, cv2.CV_32F, kernel, kernel)
        left, top = left - column, top - row
    else:
        exact = frame.astype(np.float32)
    matrix = np.array([[step, 0, left], [0, step, top]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    # Of float32 OpenCV takes two thirds of the time that it takes of uint8.
    result = cv2.warpAffine(
        exact, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(np.rint(np.clip(result, 0, 255)), np.uint8)


def crop_frame(frame: Frame, square: Square, size: int) -> NDArray[np.uint8]:
    """Cut a square out of a frame of a video; only what is needed of it is converted to RGB.

    Args:
        frame: Frame of a video.
        square: What the crop shows of it.
        size: Side of the crop in pixels.

    Returns:
        RGB, shape (size, size, 3).
    """
    left, top, side = square
    rows, columns = looked_at(square, size, frame.height, frame.width)
    return crop(frame.rgb((rows, columns)), (left - columns.start, top - rows.start, side), size)


def looked_at(square: Square, size: int, height: int, width: int) -> Window:
    """Return the part of a frame that decides on a crop: the rest need not be converted.

    Args:
        square: What the crop shows of the frame.
        size: Side of the crop in pixels.
        height: Height of the frame, in pixels.
        width: Width of the frame, in pixels.

    Returns:
        Rows and columns inside the frame, one of each at least.
    """
    left, top, side = square
    reach = _reach(side / size)

    def inside(start: float, limit: int) -> range:
        first, end = _span(start - reach, side + 2 * reach, limit, 0)
        return range(first, max(end, first + 1))

    return inside(top, height), inside(left, width)


def _reach(step: float) -> int:
    """Return how many pixels of the frame beyond the square are looked at, or more."""
    box = 2 * int(np.ceil((step - 1) / 2)) + 1 if step > 1 else 1
    return box // 2 + 4  # of the box and of the bicubic kernel


def _box(width: float) -> NDArray[np.float32]:
    """Return the share of every pixel in a box wider than 1 around the middle of a pixel."""
    half = int(np.ceil((width - 1) / 2))
    kernel = np.ones(2 * half + 1)
    kernel[[0, -1]] = (width - (2 * half - 1)) / 2
    return np.asarray(kernel / width, np.float32)


def _span(start: float, length: float, limit: int, beyond: int) -> tuple[int, int]:
    """Return first pixel and end: in the picture and so much beyond, at least one pixel of it.

    Further beyond all averages are equal, so that replicating the last one is right there.
    """
    first, end = int(np.floor(start)), int(np.ceil(start + length)) + 1
    return min(max(first, -beyond), limit - 1), max(min(end, limit + beyond), 1)


def _cut(
    frame: NDArray[np.uint8], row: int, rows: int, column: int, columns: int
) -> NDArray[np.uint8]:
    """Return a part of a frame, which may reach beyond its borders."""
    height, width = frame.shape[:2]
    inside = frame[max(row, 0) : min(rows, height), max(column, 0) : min(columns, width)]
    beyond = max(-row, 0), max(rows - height, 0), max(-column, 0), max(columns - width, 0)
    if not any(beyond):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE), np.uint8)
