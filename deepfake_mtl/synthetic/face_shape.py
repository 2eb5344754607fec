"""The proportions of a head."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FaceShape:
    """Measures of a head in head units, and what it wears; each is drawn from its own range."""

    width: float
    jaw: float
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    brow_height: float
    brow_thickness: float
    nose_width: float
    nose_length: float
    mouth_height: float
    mouth_width: float
    lip_height: float
    hair_line: float
    hair_volume: float
    hair_length: float
    hair_part: float
    beard: float
    freckles: float
    wrinkles: float
    texture: float
    glasses: bool
    bald: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "FaceShape":
        """Draw the measures of somebody new."""
        return cls(
            width=rng.uniform(0.68, 0.82),
            jaw=rng.uniform(0.12, 0.36),
            eye_distance=rng.uniform(0.29, 0.35),
            eye_height=rng.uniform(-0.13, -0.04),
            eye_width=rng.uniform(0.14, 0.18),
            eye_opening=rng.uniform(0.055, 0.085),
            brow_height=rng.uniform(0.16, 0.23),
            brow_thickness=rng.uniform(0.022, 0.05),
            nose_width=rng.uniform(0.09, 0.145),
            nose_length=rng.uniform(0.24, 0.33),
            mouth_height=rng.uniform(0.53, 0.6),
            mouth_width=rng.uniform(0.22, 0.3),
            lip_height=rng.uniform(0.05, 0.09),
            hair_line=rng.uniform(-0.72, -0.5),
            hair_volume=rng.uniform(0.06, 0.2),
            hair_length=float(rng.choice([-0.25, 0.0, 0.5, 1.15])) + rng.uniform(-0.1, 0.1),
            hair_part=rng.uniform(-0.35, 0.35),
            beard=float(rng.choice([0.0, 0.0, 0.25, 0.8])),
            freckles=float(rng.choice([0.0, 0.0, 0.3, 0.8])),
            wrinkles=rng.uniform(0.2, 1.0),
            texture=rng.uniform(0.9, 1.3),
            glasses=bool(rng.random() < 0.15),
            bald=bool(rng.random() < 0.08),
        )
