"""The metrics of a benchmark, arranged as tables: configuration x fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deepfake_mtl.data.protocol import TEST_SETS, TestSet
from deepfake_mtl.evaluation.statistics import METRICS, MetricName
from deepfake_mtl.experiments.report.cells import Cell, Cells
from deepfake_mtl.experiments.report.comparisons import Comparisons
from deepfake_mtl.experiments.report.runs import Benchmark
from deepfake_mtl.html.numbers import ABSENT

METRIC_TITLES: Final[Mapping[MetricName, str]] = {
    "auc": "AUC",
    "accuracy": "Accuracy at 0.5",
    "accuracy_calibrated": "Accuracy at the calibrated threshold",
}
SET_TITLES: Final[Mapping[TestSet, str]] = {
    "held_out": "held-out manipulation",
    "seen": "seen manipulations",
}
AVERAGE: Final = "average"
"""The name of the column of means over the folds."""

LIKE_THE_BEST: Final = "\N{DAGGER}"
"""Stands beside a metric that the best one is not shown to be above."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One place of a table.

    Attributes:
        cell: The metric, or None if there is none.
        planned: Number of seeds that were planned.
        is_best: Whether it is the highest of its column.
        is_like_best: Whether the best one is not shown to be above it; None where that was not
            tested.
    """

    cell: Cell | None
    planned: int
    is_best: bool
    is_like_best: bool | None

    @property
    def mean(self) -> str:
        """Mean and deviation over the seeds, in per cent: ``84.9 ± 1.2``."""
        if self.cell is None:
            return ABSENT
        spread = "" if self.cell.deviation is None else f" ± {100 * self.cell.deviation:.1f}"
        return f"{100 * self.cell.mean:.1f}{spread}"

    @property
    def interval(self) -> str:
        """The interval in per cent, ``[80.1, 89.0]``, or nothing."""
        if self.cell is None or self.cell.interval is None:
            return ""
        return f"[{100 * self.cell.interval.low:.1f}, {100 * self.cell.interval.high:.1f}]"

    @property
    def seeds(self) -> str:
        """``1 of 2 seeds`` where some are missing, or nothing."""
        found = self.cell.seeds if self.cell else 0
        return "" if found == self.planned else f"{found} of {self.planned} seeds"

    @property
    def mark(self) -> str:
        """`LIKE_THE_BEST`, or nothing."""
        return LIKE_THE_BEST if self.is_like_best else ""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A metric of all configurations and folds.

    Attributes:
        metric: Which one.
        of: Videos that the table is of.
        folds: The columns; None is the mean over the folds.
        rows: Entries of each configuration, one a column.
        is_tested: Whether differences from the best were tested.
    """

    metric: MetricName
    of: TestSet
    folds: Sequence[str | None]
    rows: Mapping[str, Sequence[Entry]]
    is_tested: bool

    @property
    def title(self) -> str:
        """What the table is of."""
        return f"{METRIC_TITLES[self.metric]}, {SET_TITLES[self.of]}"

    @property
    def heads(self) -> list[str]:
        """The names of the columns."""
        return [AVERAGE if fold is None else fold for fold in self.folds]


def make_tables(
    benchmark: Benchmark, cells: Cells, metric: MetricName, comparisons: Comparisons
) -> list[Table]:
    """Arrange all metrics.

    Args:
        benchmark: The runs.
        cells: Metrics of the configurations.
        metric: The one that comes first.
        comparisons: Comparisons of this metric on the held-out tests.

    Returns:
        For each metric the table of held-out and that of seen manipulations.
    """
    folds: list[str | None] = [*benchmark.folds]
    if len(folds) > 1:
        folds.append(None)
    tables = []
    for name in sorted(METRICS, key=lambda name: name != metric):
        for of in TEST_SETS:
            tested = comparisons if (name, of) == (metric, "held_out") else None
            rows = _rows(benchmark, cells, folds, (name, of), tested)
            tables.append(Table(name, of, folds, rows, tested is not None))
    return tables


def _rows(
    benchmark: Benchmark,
    cells: Cells,
    folds: Sequence[str | None],
    of: tuple[MetricName, TestSet],
    comparisons: Comparisons | None,
) -> dict[str, list[Entry]]:
    rows: dict[str, list[Entry]] = {name: [] for name in benchmark.configurations}
    for fold in folds:
        column = {name: cells.cell(name, fold, *of) for name in rows}
        means = {name: cell.mean for name, cell in column.items() if cell is not None}
        highest = max(means.values(), default=None)
        best = [name for name, mean in means.items() if len(means) > 1 and mean == highest]
        for name, cell in column.items():
            like_best = None
            if comparisons and best and cell is not None and name not in best:
                found = [comparisons.find((name,), (other,), fold) for other in best]
                like_best = not all(each is not None and each.is_shown for each in found)
            planned = [
                len(benchmark.of(name, each)) for each in benchmark.folds if fold in (None, each)
            ]
            rows[name].append(Entry(cell, min(planned), name in best, like_best))
    return rows
