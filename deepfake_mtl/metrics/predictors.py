"""The metrics of each predictor: of everything that gives probabilities of classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deepfake_mtl.metrics.binary import binary_report
from deepfake_mtl.metrics.scores import fake_probability, tells_fakes
from deepfake_mtl.metrics.video import VideoTable

Report = Mapping[str, float | None]
"""The metrics of one predictor by name; None for one that does not exist."""

_FIRST: Final = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "eer",
    "accuracy_calibrated",
)
_FURTHER: Final = ("accuracy", "balanced_accuracy", "auc")

OF_TWO_CLASSES: Final = ("balanced_accuracy", "auc", "average_precision", "eer")
"""The metrics that do not exist where all videos are original, or all are fake."""


def metric_names(predictors: Iterable[str]) -> list[str]:
    """Return the names of the metrics that are logged.

    Args:
        predictors: Names of the predictors, that of the score first.

    Returns:
        ``auc`` and so on for the first predictor, ``<predictor>/auc`` for others.
    """
    return [
        metric if position == 0 else f"{name}/{metric}"
        for position, name in enumerate(predictors)
        for metric in (_FIRST if position == 0 else _FURTHER)
    ]


def named_metrics(
    predictors: Iterable[str], reports: Mapping[str, Report | None]
) -> dict[str, float | None]:
    """Bring the metrics of several predictors under the names of `metric_names`.

    Args:
        predictors: Names of the predictors, that of the score first.
        reports: Metrics of each predictor; those that are not there do not exist.
    """
    metrics: dict[str, float | None] = {}
    for position, name in enumerate(predictors):
        report = reports.get(name) or {}
        for metric in _FIRST if position == 0 else _FURTHER:
            metrics[metric if position == 0 else f"{name}/{metric}"] = report.get(metric)
    return metrics


def report_predictors(
    table: VideoTable, classes: Mapping[str, Sequence[str]], threshold: float
) -> dict[str, Report]:
    """Compute the metrics of each predictor on all videos of a table.

    Args:
        table: Scores of videos; its outputs are the score, then the probabilities of each
            predictor's classes.
        classes: Names of the classes of each predictor, the first of which gives the score.
        threshold: Calibrated threshold of the score.

    Returns:
        The metrics of each predictor whose classes begin with what is real.
    """
    reports: dict[str, Report] = {}
    column = 1
    for position, (name, labels) in enumerate(classes.items()):
        is_score = position == 0
        scores = fake_probability(table.outputs[:, column : column + len(labels)])
        column += len(labels)
        if not tells_fakes(labels):
            continue
        reports[name] = binary_report(
            table.scores if is_score else scores, table.fake, threshold if is_score else None
        )
    return reports
