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
        megapixels: Size of a frame in millions of pixels; 8K has 33.
        hours: Length of a video, by its frames and their rate.

    Raises:
        ConfigurationError: A limit is not positive.
    """

    megapixels: float = 40.0
    hours: float = 12.0

    def __post_init__(self) -> None:
        if not min(self.megapixels, self.hours) > 0:
            raise ConfigurationError(f"{self}: both limits must be greater than 0")

    @property
    def pixels(self) -> int:
        """Largest number of pixels in a frame."""
        return round(self.megapixels * 1e6)


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How videos are judged.

    Attributes:
        threshold: Probability from which on a face is called fake: ``calibrated`` (on validation
            videos), or a number from 0 to 1.
        step: Distance between the starts of overlapping clips in frames; None takes half a clip.
        clips: Instead of those, number of evenly spread clips, as a test takes; None for
            overlapping ones.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, or as PyTorch has it.
        detector_model: YuNet's file; None takes it from the cache, or downloads it.
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
