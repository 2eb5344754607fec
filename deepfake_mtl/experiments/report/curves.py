"""Curves of a benchmark, as numbers: ROC, gradient conflicts and robustness."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.protocol import TEST_SETS, TestSet
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.experiments.files import ROBUSTNESS, ROBUSTNESS_VERSION
from deepfake_mtl.experiments.report.cells import scored_set
from deepfake_mtl.experiments.report.runs import Benchmark, Run
from deepfake_mtl.metrics.alarms import count_alarms

FALSE_ALARMS: Final = np.linspace(0, 1, 101)
"""Where the mean ROC of several seeds is computed."""

UNTREATED: Final = "none"


def mean_roc(runs: Sequence[Run]) -> NDArray[np.float64] | None:
    """Average the ROC of several trainings, held-out manipulation against originals.

    Averaged, not pooled: scores of two networks are on two scales, and pooling them would punish
    that. At each rate of false alarms it is the mean of the rates of true ones.

    Returns:
        Array like `FALSE_ALARMS`, or None if no training has a ROC.
    """
    curves = []
    for run in runs:
        if run.test is None:
            continue
        scored = scored_set(run.test, "held_out")
        false_alarms, true_alarms, _ = count_alarms(scored.scores, scored.fake)
        if false_alarms[-1] and true_alarms[-1]:
            rates = false_alarms / false_alarms[-1], true_alarms / true_alarms[-1]
            curves.append(np.interp(FALSE_ALARMS, *rates))
    return np.mean(curves, axis=0) if curves else None


def mean_conflict(runs: Sequence[Run]) -> list[ConflictRow]:
    """Average gradient conflicts over trainings, step by step; ratios geometrically."""
    found: dict[tuple[int, str, str, str], list[ConflictRow]] = {}
    for run in runs:
        for row in run.test.results.get("gradient_conflict", []) if run.test else []:
            first, second = row["tasks"]
            found.setdefault((row["step"], row["group"], first, second), []).append(row)
    rows: list[ConflictRow] = []
    for (step, group, first, second), same in found.items():
        ratios = [row["norm_ratio"] for row in same]
        log = _mean(math.log(ratio) for ratio in ratios if ratio is not None and ratio > 0)
        rows.append(
            {
                "step": step,
                "group": group,
                "tasks": [first, second],
                "cosine": _mean(row["cosine"] for row in same),
                "norm_ratio": None if log is None else math.exp(log),
            }
        )
    return rows


CurveMetric = Literal["auc", "recall"]
"""What is drawn over the strength of a treatment: recall shows the fakes that are missed."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """How a treatment of the test videos changes the metrics.

    Attributes:
        treatment: What was done to them.
        unit: Unit of its strength; may be empty.
        strengths: In the order in which they were tested; None is the untreated test, which comes
            first.
        metrics: For each metric, set and configuration a mean over folds and seeds for each
            strength; None where there is none.
    """

    treatment: str
    unit: str
    strengths: Sequence[float | None]
    metrics: Mapping[CurveMetric, Mapping[TestSet, Mapping[str, Sequence[float | None]]]]


def read_robustness(benchmark: Benchmark) -> tuple[list[Robustness], list[str]]:
    """Average the files ``robustness.json`` of all runs.

    Args:
        benchmark: The runs.

    Returns:
        A curve for each treatment, and a message for each file that could not be read.
    """
    points: dict[str, dict[float | None, dict[str, list[Mapping[str, object]]]]] = {}
    units: dict[str, str] = {}
    unreadable: list[str] = []
    for run in benchmark.runs:
        try:
            read = _read_points(run)
        except DeepfakeMTLError as error:
            unreadable.append(str(error))
            continue
        for point in read:
            treatment = str(point["treatment"])
            units.setdefault(treatment, str(point.get("unit", "")))
            strength = None if treatment == UNTREATED else float(str(point["strength"]))
            by_configuration = points.setdefault(treatment, {}).setdefault(strength, {})
            by_configuration.setdefault(benchmark.configuration(run), []).append(point)
    untreated = points.pop(UNTREATED, {})
    found = [
        _curves(benchmark, treatment, units[treatment], {**untreated, **by_strength})
        for treatment, by_strength in points.items()
    ]
    return found, unreadable


def _curves(
    benchmark: Benchmark,
    treatment: str,
    unit: str,
    points: Mapping[float | None, Mapping[str, Sequence[Mapping[str, object]]]],
) -> Robustness:
    def line(configuration: str, of: TestSet, metric: CurveMetric) -> list[float | None]:
        return [
            _mean(_metric(point, of, metric) for point in by_configuration.get(configuration, ()))
            for by_configuration in points.values()
        ]

    metrics: tuple[CurveMetric, ...] = ("auc", "recall")
    return Robustness(
        treatment,
        unit,
        list(points),
        {
            metric: {
                of: {name: line(name, of, metric) for name in benchmark.configurations}
                for of in TEST_SETS
            }
            for metric in metrics
        },
    )


def _read_points(run: Run) -> list[Mapping[str, object]]:
    path = run.folder / ROBUSTNESS
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != ROBUSTNESS_VERSION:
            raise DeepfakeMTLError(f"{path}: has schema version {content['schema_version']}")
        points: list[Mapping[str, object]] = content["points"]
        for point in points:
            float(str(point["strength"])), str(point["treatment"])
            for of in TEST_SETS:
                for metric in ("auc", "recall"):
                    _metric(point, of, metric)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepfakeMTLError(
            f"{path}: cannot be read ({type(error).__name__}: {error})"
        ) from error
    return points


def _metric(point: Mapping[str, object], of: str, metric: str) -> float | None:
    report = point[of]
    if report is None:
        return None
    if not isinstance(report, dict):
        raise TypeError(f"{of} is not a report")
    value = report[metric]
    return None if value is None else float(value)


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
