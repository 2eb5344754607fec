"""Which degradations of videos there are, and how strong they may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deepfake_mtl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Treatment:
    """One kind of degradation; `deepfake_mtl.data.degradations` applies it.

    Attributes:
        unit: What a strength means.
        strengths: Strengths of a robustness test, from weak to strong.
        low: Least strength.
        high: Greatest strength.
    """

    unit: str
    strengths: tuple[float, ...]
    low: float
    high: float


TREATMENTS: Final[Mapping[str, Treatment]] = {
    "jpeg": Treatment("JPEG quality", (90, 70, 50, 30, 10), 1, 100),
    "h264": Treatment("H.264 rate factor (crf)", (18, 23, 28, 33, 38), 0, 51),
    "blur": Treatment("deviation in pixels", (0.5, 1, 1.5, 2, 3), 0.1, 50),
    "noise": Treatment("deviation in grey levels", (2, 4, 8, 12, 16), 0, 255),
    "downscale": Treatment("side in pixels", (112, 96, 80, 64, 48, 32), 1, 100_000),
    "drop": Treatment("share of frames lost", (0.1, 0.2, 0.3, 0.5, 0.7), 0, 1),
}
"""All kinds of degradation, by name."""


def parse_degradation(text: str) -> tuple[str, float]:
    """Split ``<treatment>:<strength>``.

    Raises:
        ConfigurationError: The treatment is unknown, or its strength no number or out of range.
    """
    name, _, number = text.partition(":")
    treatment = TREATMENTS.get(name)
    if treatment is None:
        raise ConfigurationError(
            f"degradation {text!r}: expected <treatment>:<strength>, with one of "
            f"{', '.join(TREATMENTS)}; for example jpeg:50"
        )
    try:
        strength = float(number)
    except ValueError:
        strength = float("nan")
    if not treatment.low <= strength <= treatment.high:
        raise ConfigurationError(
            f"degradation {text!r}: the strength is {treatment.unit}, from {treatment.low:g} to "
            f"{treatment.high:g}"
        )
    return name, strength
