"""Student's t distribution, without SciPy."""

import math
from typing import Final

_STEPS: Final = 500
_TINY: Final = 1e-300


def two_sided_p(t: float, degrees: float) -> float:
    """The chance that a variable of Student's distribution is as far from 0 as t.

    Args:
        t: Any number.
        degrees: Degrees of freedom, above 0.

    Returns:
        The chance, in [0, 1].
    """
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def t_quantile(level: float, degrees: float) -> float:
    """How far from 0 a variable of Student's distribution is at most with the given chance.

    Args:
        level: The chance, for example 0.95.
        degrees: Degrees of freedom, above 0.

    Returns:
        A positive number, by bisection.
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > 1 - level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if two_sided_p(middle, degrees) > 1 - level:
            low = middle
        else:
            high = middle
    return high


def normal_tail(z: float) -> float:
    """The chance that a standard normal variable is above z."""
    return math.erfc(z / math.sqrt(2)) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function (DLMF 8.17)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # The fraction converges fast on this side of the mean (DLMF 8.17.22), so the other is mirrored.
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) / (a * _continued_fraction(a, b, x))
    return 1 - math.exp(log_front) / (b * _continued_fraction(b, a, 1 - x))


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22, by Lentz's method."""
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, _STEPS):
        half = step // 2
        if step % 2:
            d = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            d = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        denominator = 1 / (1 + d * denominator or _TINY)
        numerator = 1 + d / numerator or _TINY
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            break
    return value
