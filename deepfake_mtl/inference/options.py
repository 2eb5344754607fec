"""How videos are judged, and which are refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deepfake_mtl.errors import ConfigurationError

CALIBRATED: Final = "calibrated"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds beyond which a video is refused, before it takes memory or hours.

    Attributes:
        max_megapixels: Largest size of a frame in millions of pixels; 8K has 33.
        max_hours: Longest length of a video in hours, by its frames and their rate.

    Raises:
        ConfigurationError: A limit is not positive.
    """

    max_megapixels: float = 40.0
    max_hours: float = 12.0

    def __post_init__(self) -> None:
        if not min(self.max_megapixels, self.max_hours) > 0:
            raise ConfigurationError(f"{self}: both limits must be greater than 0")

    @property
    def pixels(self) -> int:
        """Largest number of pixels in a frame."""
        return round(self.max_megapixels * 1e6)


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How videos are judged.

    Attributes:
        threshold: Probability from which on a face is called fake: ``calibrated`` on validation
            videos, or a number from 0 to 1.
        step: Distance between the starts of overlapping clips in frames; half a clip by default.
        clips: Number of clips evenly spread over the video, as a test takes them, instead of
            overlapping ones.
        device: Device of the network: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or
            ``cuda:1``; several GPUs take turns.
        detector_model: YuNet's ONNX file; by default from the cache, or downloaded.
        limits: Bounds beyond which a video is refused.

    Raises:
        ConfigurationError: A value is out of range.
    """

    threshold: float | Literal["calibrated"] = CALIBRATED
    step: int | None = None
    clips: int | None = None
    device: str = "auto"
    detector_model: Path | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.threshold != CALIBRATED and not (
            isinstance(self.threshold, int | float) and 0 <= self.threshold <= 1
        ):
            raise ConfigurationError(
                f"threshold is {self.threshold!r}: {CALIBRATED}, or a number from 0 to 1"
            )
        for name in ("step", "clips"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is {value}: at least 1")
        if self.step is not None and self.clips is not None:
            raise ConfigurationError(
                "step is of overlapping clips, clips of evenly spread ones: give one of them"
            )
