"""Whether one configuration is better than another, or only luckier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import stdtr  # type: ignore[import-untyped]

from deepfake_mtl.evaluation.statistics.estimate import Estimate, Interval, combine, t_quantile

SIGNIFICANCE: Final = 0.05
"""Below this a corrected p value counts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What one metric is above another.

    Attributes:
        value: First minus second.
        interval: None if there is but one group of people.
        p_value: Two-sided, not corrected; 1 if there is but one group of people.
        knows_seeds: Whether the spread between seeds is in it: else the difference is one between
            trainings, not between what was trained.
    """

    value: float
    interval: Interval | None
    p_value: float
    knows_seeds: bool

    def turned(self) -> "Difference":
        """Return the same as second minus first."""
        bounds = self.interval and Interval(-self.interval.high, -self.interval.low)
        return Difference(-self.value, bounds, self.p_value, self.knows_seeds)

    def is_shown(self, corrected: float) -> bool:
        """Tell whether it may be said that the one is above the other.

        Args:
            corrected: The p value corrected for all comparisons that were made; see `holm`.
        """
        return (
            self.knows_seeds
            and corrected < SIGNIFICANCE
            and self.interval is not None
            and (self.interval.low > 0 or self.interval.high < 0)
        )


def compare(first: Estimate, second: Estimate) -> Difference:
    """Compare two metrics on the same people.

    In every resample the same people are drawn for both, so that it matters little how hard they
    are. The spread between seeds is added for each side by itself. The difference over its standard
    error is held against Student's distribution, rather than counted in the draws: a difference
    has neither bounds nor skew that would matter, counts of 2,000 draws end at p = 0.001, which is
    too coarse for a correction, and with two seeds they would be far too sure.

    The p value is never below that of the sign test when all groups of people agree, 2 ** (1 -
    groups): four groups cannot show anything at 0.05, however much they agree.

    Args:
        first: A metric; see `deepfake_mtl.evaluation.statistics.Estimate` for what is assumed.
        second: The other, of the same resamples.
    """
    difference = combine([(1, first), (-1, second)])
    if difference.people_degrees == 0:
        return Difference(difference.value, None, 1.0, difference.knows_seeds)
    error, degrees = difference.standard_error, difference.degrees
    margin = t_quantile(degrees) * error
    least = 2.0**-difference.people_degrees
    if error > 0:
        p_value = max(least, 2 * float(stdtr(degrees, -abs(difference.value) / error)))
    else:
        p_value = least if difference.value else 1.0
    return Difference(
        value=difference.value,
        interval=Interval(difference.value - margin, difference.value + margin),
        p_value=p_value,
        knows_seeds=difference.knows_seeds,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct for the number of comparisons (Holm 1979, Scand. J. Statist. 6, 65-70).

    Args:
        p_values: p values of all comparisons that were made.

    Returns:
        In the same order. The chance that any of those below 0.05 is mere luck is at most 5 %.
    """
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
