"""From the samples of a decoded frame to the picture that is shown: square pixels, upright."""

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, cast

import numpy as np
from av import VideoFrame
from av.buffer import Buffer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepfake_mtl.data.video.colours import scale, to_rgb, to_scaled_rgb

_MOST_ASPECT: Final = 10
"""Width over height of a pixel that is believed; anamorphic video stays below 3."""

_MATRIX: Final = struct.Struct("=9i")


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return width over height of a pixel, as container or codec give it; else 1."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not Fraction(1, _MOST_ASPECT) <= aspect <= _MOST_ASPECT:
        return Fraction(1)
    return Fraction(aspect)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is done to a decoded picture so that it looks as players show it.

    Pixels are made square by scaling the width: lines stay what they are, as the standards of
    television count them. Then the picture is turned and flipped by the display matrix of the
    container or codec. Angles between quarter turns, which no camera writes, count as the nearest.

    Attributes:
        coded: Width and height as decoded, in pixels.
        width: Width with square pixels, before the picture is turned.
        transposed: Whether rows become columns, first of all.
        from_below: Whether the rows are then reversed.
        from_right: Whether the columns are then reversed.
    """

    coded: tuple[int, int]
    width: int
    transposed: bool = False
    from_below: bool = False
    from_right: bool = False

    @classmethod
    def of(cls, frame: VideoFrame, aspect: Fraction) -> "Geometry":
        """Return what a decoded frame asks for.

        Args:
            frame: A decoded frame.
            aspect: See `pixel_aspect`.
        """
        upright = cls.scaled((frame.width, frame.height), aspect)
        side_data = frame.side_data.get("DISPLAYMATRIX")
        content = b"" if side_data is None else bytes(cast("Buffer", side_data))
        if len(content) < _MATRIX.size:
            return upright
        # A sample at (x, y) is shown at (a x + c y, b x + d y), apart from a shift.
        a, b, _, c, d, *_ = _MATRIX.unpack_from(content)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return replace(upright, from_below=d < 0, from_right=a < 0)
        return replace(upright, transposed=True, from_below=b < 0, from_right=c < 0)

    @classmethod
    def scaled(cls, coded: tuple[int, int], aspect: Fraction) -> "Geometry":
        """Return the geometry with square pixels, and nothing turned or flipped."""
        return cls(coded, max(round(coded[0] * aspect), 1))

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as shown, in pixels."""
        size = (self.width, self.coded[1])
        return size[::-1] if self.transposed else size

    @property
    def is_plain(self) -> bool:
        """Whether the picture is shown as it is decoded."""
        return self == Geometry(self.coded, self.coded[0])

    def to_rgb(self, frame: VideoFrame, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the picture as shown.

        Args:
            frame: The frame whose geometry this is.
            out: Where to write: contiguous, shape (height, width, 3). A new array if None.

        Returns:
            RGB, shape (height, width, 3); ``out`` if it was given.
        """
        if self.is_plain:
            return to_rgb(frame, out=out)
        picture = to_rgb(frame)
        if self.width != frame.width:
            picture = scale(picture, self.width, frame.height)
        picture = self._arranged(picture)
        if out is None:
            return np.ascontiguousarray(picture)
        out[:] = picture
        return out

    def to_scaled_rgb(self, frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
        """Return the picture as shown, at another size, by scaling its planes.

        Args:
            frame: The frame whose geometry this is.
            width: Width of the result in pixels.
            height: Height of the result in pixels.

        Returns:
            RGB, shape (height, width, 3).
        """
        size = (height, width) if self.transposed else (width, height)
        return np.ascontiguousarray(self._arranged(to_scaled_rgb(frame, *size)))

    def _arranged(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.from_below else 1, :: -1 if self.from_right else 1]
