"""Where clips lie in a video: training, evaluation and `deepfake-mtl detect` ask here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ClipPositions:
    """Which frames of a video a clip is made of.

    Attributes:
        length: Number of frames in a clip.
        stride: Distance between neighbouring frames of a clip, in frames of the video.

    Raises:
        ConfigurationError: A number is below 1.

    Example:
        >>> positions = ClipPositions(length=4, stride=2)
        >>> positions.span
        7
        >>> positions.spread(frames=27, count=3)
        [0, 10, 20]
        >>> positions.offsets(available=3).tolist()
        [0, 2, 0, 2]
    """

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ConfigurationError(
                f"clip_length is {self.length} and clip_stride {self.stride}: both are at least 1"
            )

    @property
    def span(self) -> int:
        """Number of frames from the first to the last frame of a clip, both included."""
        return (self.length - 1) * self.stride + 1

    def last_start(self, frames: int) -> int:
        """Return the last frame at which a clip can begin; 0 in a video shorter than a clip.

        Args:
            frames: Number of frames in the video.
        """
        return max(frames - self.span, 0)

    def spread(self, frames: int, count: int) -> list[int]:
        """Return the first frames of evenly spread clips, from the first frame to the last.

        Args:
            frames: Number of frames in the video.
            count: Number of clips; a single one lies in the middle. Some begin at the same frame
                where the video is short.
        """
        last = self.last_start(frames)
        if count == 1:
            return [last // 2]
        return [round(last * place / (count - 1)) for place in range(count)]

    def offsets(self, available: int) -> NDArray[np.int64]:
        """Return the frames of a clip, relative to its first frame.

        Fewer frames than a clip spans are played forth and back until the clip is full.

        Args:
            available: Number of frames from the first frame of the clip on, at least 1.

        Returns:
            Shape (length,), each at least 0 and below ``available``.
        """
        offsets = np.arange(self.length, dtype=np.int64) * self.stride
        if available >= self.span:
            return offsets
        period = max(2 * (available - 1), 1)
        offsets %= period
        return np.minimum(offsets, period - offsets)
