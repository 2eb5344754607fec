"""Numbers along a track, one a frame: without outliers, smooth, and of limited slope."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def reach_of(deviation: float) -> int:
    """Return how many frames away a value still counts, for a deviation in frames."""
    return max(int(np.ceil(3 * deviation)), 1)


def without_outliers(values: Array) -> Array:
    """Take the running median of three, with Tukey's rule at the ends: a line stays a line."""
    if len(values) < 4:
        return values
    inner = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    first = np.median([values[0], inner[0], 3 * inner[0] - 2 * inner[1]])
    last = np.median([values[-1], inner[-1], 3 * inner[-1] - 2 * inner[-2]])
    return np.concatenate([[first], inner, [last]])


def smooth(values: Array, deviation: float) -> Array:
    """Fit a line to the values around each place, with the weights of a Gaussian."""
    if len(values) < 2:
        return values
    reach = reach_of(deviation)
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (places / deviation) ** 2)

    def around(power: int, what: Array) -> Array:
        """Sum over the neighbours weight times (place of the neighbour)^power times value."""
        kernel = (weights * places**power)[::-1]
        return np.convolve(what, kernel)[reach : reach + len(what)]

    origin = values[0]  # sums of small numbers are exact
    ones = np.ones(len(values))
    w0, w1, w2 = (around(power, ones) for power in (0, 1, 2))
    v0, v1 = (around(power, values - origin) for power in (0, 1))
    return np.asarray(origin + (w2 * v0 - w1 * v1) / (w0 * w2 - w1**2))


def limit_slope(values: Array, slope: float) -> Array:
    """Raise values as little as makes neighbours differ by no more than a slope."""
    ramp = slope * np.arange(len(values))
    forward = np.maximum.accumulate(values + ramp) - ramp
    backward = np.maximum.accumulate((values - ramp)[::-1])[::-1] + ramp
    return np.asarray(np.maximum(forward, backward))
