"""A frame on its way through a program that looks at all of them."""

import math
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video.colours import Window, scale, to_rgb
from deepfake_mtl.data.video.geometry import Geometry


class Frame:
    """A frame of `iterate_frames`, converted to RGB only where it is asked for.

    Args:
        picture: A decoded frame; or RGB, of shape (height, width, 3).
        time: Time at which it is shown, in seconds from the first frame; nan where it is unknown.
        aspect: Width over height of a pixel of a decoded frame.

    Attributes:
        time: As given.
        height: Height of the whole picture as shown, in pixels.
        width: Width of it.
    """

    __slots__ = ("_geometry", "_held", "_picture", "height", "time", "width")

    def __init__(
        self,
        picture: av.VideoFrame | NDArray[np.uint8],
        time: float = math.nan,
        aspect: Fraction = Fraction(1),
    ) -> None:
        self._picture = picture
        self.time = time
        self._geometry: Geometry | None = None
        if isinstance(picture, np.ndarray):
            self.height, self.width = picture.shape[:2]
        else:
            self._geometry = Geometry.of(picture, aspect)
            self.width, self.height = self._geometry.shown
        self._held = (range(self.height), range(self.width))

    @property
    def nbytes(self) -> int:
        """Memory that the frame takes, in bytes."""
        if isinstance(self._picture, np.ndarray):
            return self._picture.nbytes
        return sum(plane.buffer_size for plane in self._picture.planes)

    @property
    def is_interlaced(self) -> bool:
        """Whether the file says that the frame is made of two fields, one moment each."""
        return not isinstance(self._picture, np.ndarray) and self._picture.interlaced_frame

    def holds(self, window: Window) -> bool:
        """Return whether a window can be asked for: always, unless the frame is a `part`."""
        return all(
            held.start <= asked.start and asked.stop <= held.stop
            for held, asked in zip(self._held, window, strict=True)
        )

    def rgb(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return the picture as shown, or a window of it; the same bits as `read_clip` gives.

        Args:
            window: Rows and columns of the picture as shown; all that the frame holds if None.

        Returns:
            RGB, shape (height, width, 3) of the window.

        Raises:
            ValueError: The frame is a part that does not hold the window.
        """
        window = window or self._held
        if not self.holds(window):
            raise ValueError(f"{window} is not inside what this frame holds, {self._held}")
        if isinstance(self._picture, np.ndarray) or self._geometry is None:
            picture = np.asarray(self._picture)
        elif self._geometry.is_plain:
            return to_rgb(self._picture, window=window)
        else:
            picture = self._geometry.to_rgb(self._picture)
        rows, columns = (
            range(asked.start - held.start, asked.stop - held.start)
            for held, asked in zip(self._held, window, strict=True)
        )
        return np.ascontiguousarray(picture[rows.start : rows.stop, columns.start : columns.stop])

    def scaled(self, width: int, height: int) -> NDArray[np.uint8]:
        """Return the picture as shown, or what this part holds of it, at another size.

        Of a video it is cheaper than `rgb`, and deviates from that, scaled, by what is rounded.

        Args:
            width: Width of the result in pixels.
            height: Height of the result in pixels.

        Returns:
            RGB, shape (height, width, 3).
        """
        if isinstance(self._picture, np.ndarray) or self._geometry is None:
            return scale(np.asarray(self._picture), width, height)
        return self._geometry.to_scaled_rgb(self._picture, width, height)

    def part(self, window: Window) -> "Frame":
        """Return the same frame with no more than a window of its picture, and less memory.

        Raises:
            ValueError: The frame does not hold the window.
        """
        part = Frame(self.rgb(window), self.time)
        part.height, part.width, part._held = self.height, self.width, window
        return part
