"""Every configuration against every other, on the same people, and what may be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from deepfake_mtl.evaluation.statistics import (
    Difference,
    Estimate,
    MetricName,
    combine,
    compare,
    holm,
)
from deepfake_mtl.experiments.report.cells import Cells
from deepfake_mtl.experiments.report.runs import Benchmark

Side = tuple[str, ...]
"""Names of configurations; of several, the mean is compared."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides, on the held-out test of one fold or of all.

    Attributes:
        first: One side.
        second: The other.
        fold: What was held out, or None for the mean over all folds.
        difference: First minus second.
        corrected: The p value corrected for all comparisons of its family: those of means over
            folds, or those of single folds.
    """

    first: Side
    second: Side
    fold: str | None
    difference: Difference
    corrected: float

    @property
    def is_shown(self) -> bool:
        """Whether it may be said that one side is above the other."""
        return self.difference.is_shown(self.corrected)

    @property
    def above(self) -> Side | None:
        """The side that is above the other, or None if no difference is shown."""
        if not self.is_shown:
            return None
        return self.first if self.difference.value > 0 else self.second

    @property
    def verdict(self) -> str:
        """What may be said, in words."""
        if self.above is None:
            return "no difference shown" + (
                "" if self.difference.knows_seeds else " (a single seed cannot show any)"
            )
        below = self.second if self.above == self.first else self.first
        return f"{' and '.join(self.above)} above {' and '.join(below)}"

    def turned(self) -> "Comparison":
        """Return the same as second minus first."""
        return replace(
            self, first=self.second, second=self.first, difference=self.difference.turned()
        )


class Comparisons:
    """All comparisons of a report, corrected in two families.

    Every two configurations, on the mean over the folds and on each fold, as far as both have
    metrics; and further ones. Means are what a benchmark is made for: that each fold is looked at,
    too, does not make them less sure.

    Args:
        benchmark: The runs.
        cells: Metrics of the configurations.
        metric: What is compared, on the held-out test.
        further: More pairs of sides, to be compared on the mean over the folds.

    Attributes:
        all: Comparisons in the order of the configurations, the means over the folds first.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        cells: Cells,
        metric: MetricName,
        further: Sequence[tuple[Side, Side]] = (),
    ) -> None:
        self._cells = cells
        self._metric = metric
        pairs: list[tuple[Side, Side]] = [
            ((first,), (second,)) for first, second in combinations(benchmark.configurations, 2)
        ]
        folds: list[str | None] = [None, *(benchmark.folds if len(benchmark.folds) > 1 else ())]
        places = [(*pair, fold) for fold in folds for pair in pairs]
        places += [(*pair, None) for pair in further if pair not in pairs]
        found = [
            (first, second, fold, compare(one, other))
            for first, second, fold in places
            if (one := self._side(first, fold)) and (other := self._side(second, fold))
        ]
        self.all: list[Comparison] = []
        for family in (
            [each for each in found if each[2] is None],
            [each for each in found if each[2] is not None],
        ):
            corrected = holm([difference.p_value for *_, difference in family])
            self.all += [Comparison(*each, p) for each, p in zip(family, corrected, strict=True)]

    def find(self, first: Side, second: Side, fold: str | None) -> Comparison | None:
        """Return the comparison of two sides, first minus second; None if one has no metrics."""
        for each in self.all:
            if each.fold == fold and {each.first, each.second} == {first, second}:
                return each if each.first == first else each.turned()
        return None

    def _side(self, side: Side, fold: str | None) -> Estimate | None:
        cells = [self._cells.cell(name, fold, self._metric) for name in side]
        found = [cell.estimate for cell in cells if cell is not None]
        if len(found) < len(cells):
            return None
        return combine([(1 / len(found), estimate) for estimate in found])
