"""One conversion from decoded frames to RGB, for real and fake alike."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of a picture, or a part of it.

    Attributes:
        samples: uint8, shape (rows, columns).
        height: Rows of the whole plane.
        width: Columns of the whole plane.
        down: Rows of the picture to a row of samples. A sample lies in the middle of the pixels
            that it stands for, and the first one covers the left upper corner of the picture.
        across: Likewise of columns.
        top: Number of the first row that is there.
        left: Number of the first column that is there.
    """

    samples: NDArray[np.uint8]
    height: int
    width: int
    down: int = 1
    across: int = 1
    top: int = 0
    left: int = 0

    def part(self, window: Window) -> "Plane":
        """What is needed of the plane for a window of the picture; a view of the samples."""
        rows, columns = window
        # One sample more on each side, for the interpolation.
        top = max(rows.start // self.down - 1, self.top)
        left = max(columns.start // self.across - 1, self.left)
        samples = self.samples[
            top - self.top : -(-rows.stop // self.down) + 1 - self.top,
            left - self.left : -(-columns.stop // self.across) + 1 - self.left,
        ]
        return replace(self, samples=samples, top=top, left=left)

    def pixels(self, window: Window) -> NDArray[np.uint8]:
        """A window at the resolution of the picture, by bilinear interpolation."""
        rows, columns = window
        part = self.part(window)
        samples = part.samples
        if (self.across, self.down) != (1, 1):
            size = samples.shape[1] * self.across, samples.shape[0] * self.down
            samples = np.asarray(
                cv2.resize(samples, size, interpolation=cv2.INTER_LINEAR), np.uint8
            )
        top, left = rows.start - part.top * self.down, columns.start - part.left * self.across
        return samples[top : top + len(rows), left : left + len(columns)]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, or a window of it, in the planes of which it was made, for what is made of it.

    Attributes:
        planes: Three: Y, Cb and Cr, or red, green and blue.
        matrix: Affine, shape (3, 4), from the planes to RGB; None where they are RGB.
        window: What is there.
    """

    planes: tuple[Plane, ...]
    matrix: NDArray[np.float64] | None
    window: Window

    @classmethod
    def of_rgb(cls, picture: NDArray[np.uint8]) -> "Picture":
        """From an array of shape (height, width, 3), which is not copied."""
        height, width = picture.shape[:2]
        planes = tuple(Plane(picture[..., i], height, width) for i in range(3))
        return cls(planes, None, (range(height), range(width)))

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> "Picture":
        """From a decoded frame, whose memory it shares where the format is planar YUV."""
        name = frame.format.name
        if name not in _PLANAR_YUV:
            converted = _REFORMATTER.reformat(frame, format="rgb24", interpolation=_ACCURATE)
            return cls.of_rgb(np.asarray(converted.to_ndarray(), np.uint8))
        full_range = int(frame.color_range) == _FULL_RANGE or name.startswith("yuvj")
        return cls(
            tuple(_planes(frame)),
            _yuv_to_rgb(int(frame.colorspace), full_range=full_range),
            (range(frame.height), range(frame.width)),
        )

    @property
    def nbytes(self) -> int:
        """Memory of the samples, in bytes."""
        return sum(plane.samples.nbytes for plane in self.planes)

    def part(self, window: Window) -> "Picture":
        """A copy of no more than a window of it."""
        parts = (plane.part(window) for plane in self.planes)
        planes = tuple(replace(part, samples=part.samples.copy()) for part in parts)
        return Picture(planes, self.matrix, window)

    def rgb(
        self, window: Window | None = None, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """RGB of a window, with the same bits as in the whole picture; see `to_rgb`."""
        window = window or self.window
        return self._mix([plane.pixels(window) for plane in self.planes], out)

    def scaled(self, width: int, height: int) -> NDArray[np.uint8]:
        """RGB of all that is there at another size: each plane is scaled, and then converted.

        Averages over areas where samples get fewer, bilinear interpolation where they get more.
        """
        rows, columns = self.window
        planes = []
        for plane in self.planes:
            there, down, across = plane.part(self.window), plane.down, plane.across
            top, left = rows.start // down - there.top, columns.start // across - there.left
            samples = there.samples[
                top : -(-rows.stop // down) - there.top,
                left : -(-columns.stop // across) - there.left,
            ]
            planes.append(_scale(samples, width, height))
        return self._mix(planes)

    def _mix(
        self, planes: list[NDArray[np.uint8]], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        if out is None:
            out = np.empty((*planes[0].shape, 3), np.uint8)
        if self.matrix is None:
            np.stack(planes, axis=-1, out=out)
        else:
            cv2.transform(cv2.merge(planes), self.matrix, dst=out)
        return out


def to_rgb(
    frame: VideoFrame, out: NDArray[np.uint8] | None = None, window: Window | None = None
) -> NDArray[np.uint8]:
    """RGB picture of a decoded frame, or of a part of it.

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
    return Picture.of_frame(frame).rgb(window, out)


def quarter_turns(frame: VideoFrame) -> int:
    """Counter-clockwise quarter turns, 0 to 3, that bring a decoded frame upright.

    Any other angle, which no camera writes, counts as the nearest of them.
    """
    return round(frame.rotation / 90) % 4


def _planes(frame: VideoFrame) -> Iterator[Plane]:
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        height, width = plane.height, plane.width
        # Whole factors keep chroma and luma of odd sizes aligned.
        down, across = -(-frame.height // height), -(-frame.width // width)
        yield Plane(samples[:height, :width], height, width, down, across)


def _scale(samples: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    # OpenCV averages four samples in a tenth of the time that it takes for other numbers.
    while all(
        now % 2 == 0 and now >= 2 * wanted
        for now, wanted in zip(samples.shape, (height, width), strict=True)
    ):
        half = samples.shape[1] // 2, samples.shape[0] // 2
        samples = np.asarray(cv2.resize(samples, half, interpolation=cv2.INTER_AREA), np.uint8)
    fewer = height <= samples.shape[0] and width <= samples.shape[1]
    method = cv2.INTER_AREA if fewer else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(samples, (width, height), interpolation=method), np.uint8)


@lru_cache
def _yuv_to_rgb(colorspace: int, *, full_range: bool) -> NDArray[np.float64]:
    """Affine matrix (3, 4) from 8-bit YUV to 8-bit RGB (ITU-T H.273, section 8.3)."""
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
