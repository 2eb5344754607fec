"""What was trained on against what is tested on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.predictions import sort_methods
from deepfake_mtl.evaluation.statistics import MetricName, ScoreSet
from deepfake_mtl.evaluation.table import seen_methods
from deepfake_mtl.experiments.report.cells import scored_method
from deepfake_mtl.experiments.report.runs import Benchmark, Evaluated, Run


@dataclass(frozen=True, slots=True)
class Row:
    """What one training, over its seeds, did in every test.

    Attributes:
        name: What it was trained on or without.
        values: Means over the seeds, a column each; None where there is no metric.
        held_out: Columns that were not trained on.
    """

    name: str
    values: Sequence[float | None]
    held_out: frozenset[str]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A heat map.

    Attributes:
        title: What it is of.
        columns: What is tested on.
        rows: What was trained on.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


def train_by_test(benchmark: Benchmark) -> list[Matrix]:
    """Compute the AUC of originals against each manipulation, a matrix a configuration."""
    methods = sort_methods(
        {
            prediction.method
            for run in benchmark.finished
            if run.test
            for prediction in run.test.predictions
        }
        - {ORIGINAL}
    )
    matrices = []
    for configuration in benchmark.configurations:
        rows = [
            Row(
                _trained_on(tests[0], fold),
                [
                    _mean(scored_method(test, method).value("auc") for test in tests)
                    for method in methods
                ],
                frozenset(tests[0].results["held_out"]),
            )
            for fold in benchmark.folds
            if (tests := [run.test for run in benchmark.of(configuration, fold) if run.test])
        ]
        if rows:
            matrices.append(Matrix(configuration, methods, rows))
    return matrices


def elsewhere_matrix(benchmark: Benchmark, metric: MetricName) -> Matrix | None:
    """Return a metric of all videos of the further tests, a row a configuration and fold.

    Args:
        benchmark: The runs.
        metric: Which one.

    Returns:
        None if there are no such tests.
    """
    names = sorted({name for run in benchmark.runs for name in run.elsewhere})

    def value(runs: Sequence[Run], name: str) -> float | None:
        tests = [run.elsewhere[name] for run in runs if name in run.elsewhere]
        return _mean(ScoreSet.of(test.predictions, test.threshold).value(metric) for test in tests)

    rows = [
        Row(f"{configuration}, without {fold}", values, frozenset())
        for configuration in benchmark.configurations
        for fold in benchmark.folds
        if any(values := [value(benchmark.of(configuration, fold), name) for name in names])
    ]
    return Matrix(metric, names, rows) if rows else None


def as_json(matrix: Matrix) -> Mapping[str, object]:
    """Return plain values for ``report.json``: rows by name, values by column."""
    return {
        "title": matrix.title,
        "rows": [
            {
                "name": row.name,
                "held_out": sorted(row.held_out),
                "values": dict(zip(matrix.columns, row.values, strict=True)),
            }
            for row in matrix.rows
        ],
    }


def _trained_on(test: Evaluated, fold: str) -> str:
    seen, held_out = seen_methods(test.results), test.results["held_out"]
    if seen and len(seen) < len(held_out):
        return f"trained on {' and '.join(seen)}"
    return f"without {fold}"


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
