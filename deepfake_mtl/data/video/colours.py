"""One conversion from decoded frames to RGB, for real and fake alike."""

from functools import lru_cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

Window: TypeAlias = tuple[range, range]
"""Rows and columns of a picture, inside it, with a step of 1."""

_PLANAR_YUV: Final = frozenset(
    f"yuv{full}{sampling}p" for full in ("", "j") for sampling in ("444", "422", "420")
)
_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG
_BT601: Final = (0.299, 0.114)
_LUMA_WEIGHTS: Final = {  # of red and blue, by AVColorSpace (ITU-T H.273, table 4)
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: _BT601,  # BT.470 BG
    6: _BT601,  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_ACCURATE: Final = (
    Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
)
_REFORMATTER: Final = (
    VideoReformatter()
)  # shared: a new one for each frame costs more than its work


def to_rgb(
    frame: VideoFrame, out: NDArray[np.uint8] | None = None, window: Window | None = None
) -> NDArray[np.uint8]:
    """Return the RGB picture of a decoded frame, or of a part of it.

    8-bit planar YUV (4:4:4, 4:2:2 and 4:2:0, so nearly all videos) goes through one matrix and is
    rounded to the nearest level, after bilinear upsampling of the chroma, whose samples are taken
    to lie between the luma samples. Matrix and range are the ones that the frame names; where it
    names none, BT.601 and limited range, as swscale and OpenCV have it whatever the size of the
    picture. Any other pixel format goes through swscale in its accurate mode. PyAV's own default
    is not used, because it darkens 4:2:0 frames by about one grey level.

    Args:
        frame: A decoded frame.
        out: Where to write: contiguous, shape (height, width, 3). A new array if None.
        window: What to convert, with the same bits as in the whole picture; all of it if None.

    Returns:
        RGB, shape (height, width, 3) of the window; ``out`` if it was given.
    """
    rows, columns = window or (range(frame.height), range(frame.width))
    if out is None:
        out = np.empty((len(rows), len(columns), 3), np.uint8)
    if frame.format.name in _PLANAR_YUV:
        planes = [_part_of_plane(frame, number, rows, columns) for number in range(3)]
        cv2.transform(cv2.merge(planes), _matrix(frame), dst=out)
    else:
        out[:] = _by_swscale(frame)[rows.start : rows.stop, columns.start : columns.stop]
    return out


def to_scaled_rgb(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """Return the RGB picture of a decoded frame at another size, by scaling its planes.

    Args:
        frame: A decoded frame.
        width: Width of the result in pixels.
        height: Height of the result in pixels.

    Returns:
        RGB, shape (height, width, 3).
    """
    if frame.format.name not in _PLANAR_YUV:
        return scale(_by_swscale(frame), width, height)
    planes = [scale(_plane(frame, number), width, height) for number in range(3)]
    return np.asarray(cv2.transform(cv2.merge(planes), _matrix(frame)), np.uint8)


def scale(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture: averages over areas where it shrinks, else linear interpolation."""
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _plane(frame: VideoFrame, number: int) -> NDArray[np.uint8]:
    """Return the luma or a chroma plane, which shares the memory of the frame."""
    plane = frame.planes[number]
    samples = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return samples[: plane.height, : plane.width]


def _part_of_plane(
    frame: VideoFrame, number: int, rows: range, columns: range
) -> NDArray[np.uint8]:
    """Return a part of the luma or of a chroma plane, the latter at the size of the luma."""
    samples = _plane(frame, number)
    # Whole factors keep chroma and luma of odd sizes aligned.
    down, across = -(-frame.height // samples.shape[0]), -(-frame.width // samples.shape[1])
    # One sample more on each side, for the interpolation.
    x, y = max(columns.start // across - 1, 0), max(rows.start // down - 1, 0)
    samples = samples[y : -(-rows.stop // down) + 1, x : -(-columns.stop // across) + 1]
    if (across, down) != (1, 1):
        size = samples.shape[1] * across, samples.shape[0] * down
        samples = np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    top, left = rows.start - y * down, columns.start - x * across
    return samples[top : top + len(rows), left : left + len(columns)]


def _by_swscale(frame: VideoFrame) -> NDArray[np.uint8]:
    converted = _REFORMATTER.reformat(frame, format="rgb24", interpolation=_ACCURATE)
    return np.asarray(converted.to_ndarray(), np.uint8)


def _matrix(frame: VideoFrame) -> NDArray[np.float64]:
    full_range = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return _yuv_to_rgb(int(frame.colorspace), full_range=full_range)


@lru_cache
def _yuv_to_rgb(colorspace: int, *, full_range: bool) -> NDArray[np.float64]:
    """Return the affine matrix (3, 4) from 8-bit YUV to 8-bit RGB (ITU-T H.273, section 8.3)."""
    red, blue = _LUMA_WEIGHTS.get(colorspace, _BT601)
    green = 1 - red - blue
    linear = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    black = 0 if full_range else 16
    linear *= [1, 1, 1] if full_range else [255 / 219, 255 / 224, 255 / 224]
    return np.column_stack([linear, linear @ [-black, -128, -128]])
