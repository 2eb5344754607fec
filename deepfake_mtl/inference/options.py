"""How videos are judged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.inference.limits import Limits

CALIBRATED: Final = "calibrated"


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How videos are judged.

    Attributes:
        threshold: ``calibrated`` (on validation videos), or a number from 0 to 1.
        step: Distance of the starts of overlapping clips in frames; None takes half a clip.
        clips: Instead of those, so many evenly spread ones, as a test takes; None for overlapping.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, or as PyTorch has it.
        detector_model: YuNet's file; None takes it from the cache, or downloads it.
        limits: What is refused.

    Raises:
        ConfigurationError: A value is out of range.
    """

    threshold: float | Literal["calibrated"] = CALIBRATED
    step: int | None = None
    clips: int | None = None
    device: str = "auto"
    detector_model: Path | None = None
    limits: Limits = Limits()  # noqa: RUF009 (is frozen)

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
