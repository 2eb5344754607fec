"""Squares cut out of frames, to a fraction of a pixel."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.colours import Window
from deepfake_mtl.data.reading import Frame
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.resampling import SCALE, Resampler, box_reach

MARGIN: Final = 1.3
"""Side of the crop over the larger side of the face's box (FaceForensics++ has 1.3)."""

_AT_ONCE: Final = 32
"""Frames whose weights are made together."""


def covered(squares: NDArray[np.float64], margin: float = MARGIN) -> NDArray[np.float64]:
    """What crops cover: the squares of ``margin * side`` around the same centres.

    Args:
        squares: Centre x, centre y and side, shape (..., 3).
        margin: How much larger than the squares the crops are.

    Returns:
        Left edge, upper edge and side in pixels, shape (..., 3).
    """
    x, y, side = np.moveaxis(np.asarray(squares, np.float64), -1, 0)
    half = side * margin / 2
    return np.stack([x - half, y - half, 2 * half], axis=-1)


def crop(
    frame: Frame | NDArray[np.uint8],
    square: NDArray[np.float64],
    size: int,
    margin: float = MARGIN,
) -> NDArray[np.uint8]:
    """Cut a square out of a frame and scale it.

    The crop covers the square of side ``margin * side`` around the same centre (see `covered`):
    with 1.3, the face fills 1 / 1.3 = 77 % of its side. Where a pixel of the crop is larger than
    one of the frame, the frame is averaged over boxes of just that size (so it does not alias);
    then it is sampled with bicubic interpolation at the exact places. Both are continuous
    in centre and side: a square that glides over the picture gives crops that glide, where rounding
    to whole pixels would jump, and the sharpness does not jump where shrinking begins.
    Beyond its borders, the frame goes on with the colours of its outermost pixels: a mirror would
    show half a second face.

    A frame of a video is sampled in the planes that the decoder gives, each at its own resolution,
    and only the crop is converted to RGB. It is rounded once, at the end.

    Masks are cut by the same function; a value between the two of a mask tells how much of the
    pixel is covered.

    Args:
        frame: A frame of a video, or an array of shape (height, width, 3), or (height, width) for a
            mask.
        square: Centre x, centre y and side in pixels of the frame, where pixel (row r, column c)
            covers (c, r) to (c + 1, r + 1); shape (3,).
        size: Side of the crop in pixels.
        margin: How much larger than the square the crop is.

    Returns:
        Shape (size, size, 3), or (size, size) for a mask.

    Raises:
        ConfigurationError: The size, the margin or the side is not positive, or not a number.
        ValueError: The frame is a part that does not hold what `looked_at` says.
    """
    squares = np.asarray(square)[None]
    if isinstance(frame, np.ndarray) and frame.ndim == 2:
        (mask,) = crop_each([Frame(np.dstack([frame] * 3))], squares, size, margin)
        return mask[..., 0]
    frame = frame if isinstance(frame, Frame) else Frame(frame)
    (result,) = crop_each([frame], squares, size, margin)
    return result


def crop_each(
    frames: Iterable[Frame], squares: NDArray[np.float64], size: int, margin: float = MARGIN
) -> Iterator[NDArray[np.uint8]]:
    """Cut a square out of each frame; with the same bits as `crop`, in less time.

    Args:
        frames: As many as there are squares, or less.
        squares: As in `crop`, shape (frames, 3).
        size: Side of the crops in pixels.
        margin: As in `crop`.

    Yields:
        Crops of shape (size, size, 3).

    Raises:
        ConfigurationError: As `crop`.
        ValueError: As `crop`.
    """
    corners = covered(squares, margin)
    numbers = [size, margin, *corners[:, 2].tolist()]
    if not min(numbers) > 0 or not np.isfinite(corners).all():
        raise ConfigurationError(
            f"a crop of size={size}, margin={margin} and square={np.asarray(squares).tolist()} has "
            "no pixels; size, margin and side must be greater than 0"
        )
    shape: object = None
    begun, resampler = 0, None
    for number, frame in enumerate(frames):
        picture = frame.picture
        here = (frame.turns, *((plane.height, plane.width) for plane in picture.planes))
        if resampler is None or shape != here or number == begun + _AT_ONCE:
            begun, shape = number, here
            some = _decoded(corners[number : number + _AT_ONCE], frame)
            resampler = Resampler(some, size, picture.planes)
        planes = resampler.sample(number - begun, picture.planes)
        result = _rounded(planes, picture.matrix)
        yield np.ascontiguousarray(np.rot90(result, frame.turns)) if frame.turns else result


def looked_at(
    square: NDArray[np.float64], size: int, height: int, width: int, margin: float = MARGIN
) -> Window:
    """The part of a frame that decides on a crop, so that the rest need not be converted.

    ``crop(frame.part((rows, columns)), square, ...)`` is the same as ``crop(frame, square, ...)``.

    Args:
        square: As in `crop`.
        size: Side of the crop in pixels.
        height: Of the frame, in pixels.
        width: Likewise.
        margin: As in `crop`.

    Returns:
        Rows and columns inside the frame, one of each at least.
    """
    left, top, side = _corner_and_side(square, margin)
    reach = _reach(side / size)
    return (
        _span(top - reach, side + 2 * reach, height),
        _span(left - reach, side + 2 * reach, width),
    )


def _corner_and_side(square: NDArray[np.float64], margin: float) -> tuple[float, float, float]:
    """What `covered` gives, of one square, in a tenth of the time."""
    x, y, side = square.tolist()
    half = side * margin / 2
    return x - half, y - half, 2 * half


def _reach(step: float) -> int:
    """How many pixels of the frame beyond the square are looked at, or more."""
    return box_reach(step) + 4  # of the box and of the bicubic kernel, in planes of half the size


def _span(start: float, length: float, limit: int) -> range:
    """Pixels between, one of the picture at least."""
    first, end = int(np.floor(start)), int(np.ceil(start + length)) + 1
    first = min(max(first, 0), limit - 1)
    return range(first, max(min(end, limit), first + 1))


def _decoded(corners: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """Squares of upright frames, in what was decoded."""
    left, top, side = corners.T
    for turn in range(frame.turns, 0, -1):
        # The height of the upright picture is the width of what is a turn less upright.
        height = frame.height if (frame.turns - turn) % 2 == 0 else frame.width
        left, top = height - top - side, left
    return np.stack([left, top, side], axis=1)


def _rounded(
    planes: Sequence[NDArray[np.float32]], matrix: NDArray[np.float64] | None
) -> NDArray[np.uint8]:
    """RGB of planes in parts of a level."""
    scaled = (np.eye(3, 4) if matrix is None else matrix) * [SCALE, SCALE, SCALE, 1]
    levels = cv2.transform(cv2.merge(planes), scaled)
    return np.asarray(cv2.addWeighted(levels, 1, levels, 0, 0, dtype=cv2.CV_8U), np.uint8)
