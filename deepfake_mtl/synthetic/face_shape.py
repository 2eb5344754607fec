"""The proportions of a head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, get_type_hints

import numpy as np


def _uniform(low: float, high: float) -> Callable[[np.random.Generator], float]:
    return lambda rng: rng.uniform(low, high)


def _choice(*values: float) -> Callable[[np.random.Generator], float]:
    return lambda rng: float(rng.choice(values))


def _chance(probability: float) -> Callable[[np.random.Generator], bool]:
    return lambda rng: bool(rng.random() < probability)


def _hair_length(rng: np.random.Generator) -> float:
    return float(rng.choice([-0.25, 0.0, 0.5, 1.15])) + rng.uniform(-0.1, 0.1)


@dataclass(frozen=True)
class FaceShape:
    """Measures of a head in head units, and what it wears; each is drawn from its own range."""

    width: Annotated[float, _uniform(0.68, 0.82)]
    jaw: Annotated[float, _uniform(0.12, 0.36)]
    eye_distance: Annotated[float, _uniform(0.29, 0.35)]
    eye_height: Annotated[float, _uniform(-0.13, -0.04)]
    eye_width: Annotated[float, _uniform(0.14, 0.18)]
    eye_opening: Annotated[float, _uniform(0.055, 0.085)]
    brow_height: Annotated[float, _uniform(0.16, 0.23)]
    brow_thickness: Annotated[float, _uniform(0.022, 0.05)]
    nose_width: Annotated[float, _uniform(0.09, 0.145)]
    nose_length: Annotated[float, _uniform(0.24, 0.33)]
    mouth_height: Annotated[float, _uniform(0.53, 0.6)]
    mouth_width: Annotated[float, _uniform(0.22, 0.3)]
    lip_height: Annotated[float, _uniform(0.05, 0.09)]
    hair_line: Annotated[float, _uniform(-0.72, -0.5)]
    hair_volume: Annotated[float, _uniform(0.06, 0.2)]
    hair_length: Annotated[float, _hair_length]
    hair_part: Annotated[float, _uniform(-0.35, 0.35)]
    beard: Annotated[float, _choice(0.0, 0.0, 0.25, 0.8)]
    freckles: Annotated[float, _choice(0.0, 0.0, 0.3, 0.8)]
    wrinkles: Annotated[float, _uniform(0.2, 1.0)]
    texture: Annotated[float, _uniform(0.9, 1.3)]
    glasses: Annotated[bool, _chance(0.15)]
    bald: Annotated[bool, _chance(0.08)]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "FaceShape":
        """Draw the measures of somebody new, in the order in which they stand here."""
        hints = get_type_hints(cls, include_extras=True)
        return cls(**{name: hint.__metadata__[0](rng) for name, hint in hints.items()})
