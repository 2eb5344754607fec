"""How a re-synthesised face gets into a frame."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.synthetic.painting import Image, Plane


class Forged(NamedTuple):
    """One manipulated frame and where it was manipulated.

    Attributes:
        frame: RGB, shape (size, size, 3).
        mask: 0 or 255, shape (size, size).
    """

    frame: Image
    mask: Image


def match_colour(face: Plane, frame: Image, region: Plane, contrast: bool = True) -> Plane:
    """Give `face` the mean, and if asked the deviation, that `frame` has in a region.

    Args:
        face: RGB, shape (size, size, 3).
        frame: RGB, the same shape.
        region: Weights, shape (size, size).
        contrast: Whether to match the deviation as well.
    """
    goal = frame.astype(np.float32)
    weights = (region / (region.sum(dtype=np.float64) + 1e-6))[..., None]
    mean, goal_mean = _average(face, weights), _average(goal, weights)
    if not contrast:
        return np.asarray(face - mean + goal_mean, np.float32)
    spread = np.sqrt(_average((face - mean) ** 2, weights)) + 1
    goal_spread = np.sqrt(_average((goal - goal_mean) ** 2, weights)) + 1
    ratio = np.clip(goal_spread / spread, 0.6, 1.6)
    return np.asarray((face - mean) * ratio + goal_mean, np.float32)


def _average(picture: Plane, weights: NDArray[np.float64]) -> Plane:
    """Return the weighted mean of each channel, shape (3,).

    No matrix product: its order of summation differs from process to process. The rest of such
    differences is rounded away, so that equal configurations give equal bytes.
    """
    return np.asarray(np.round((picture * weights).sum(axis=(0, 1)), 3), np.float32)


def blend(frame: Image, face: Plane, alpha: Plane) -> Forged:
    """Lay a face over a frame, rounded to eight bits, with the mask of what it covers."""
    base = frame.astype(np.float32)
    mixed = base + alpha[..., None] * (face - base)
    return Forged(
        np.clip(mixed + 0.5, 0, 255).astype(np.uint8),
        np.where(alpha > 0.1, 255, 0).astype(np.uint8),
    )
