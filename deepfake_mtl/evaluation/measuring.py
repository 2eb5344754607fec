"""The metrics of a test, from its predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_mtl.data.protocol import group_of
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.predictions import Prediction, sort_methods
from deepfake_mtl.evaluation.predictors import evaluate_predictors
from deepfake_mtl.evaluation.reports import report_sets
from deepfake_mtl.evaluation.results import Metrics, Recall
from deepfake_mtl.metrics import recall_by_method


def evaluate(
    predictions: Sequence[Prediction], held_out: Sequence[str], threshold: float | None
) -> Metrics:
    """Compute the metrics of the manipulations that were held out and of those that were seen.

    Args:
        predictions: One for each video of the test set: originals and all manipulations.
        held_out: Names of the manipulations that were not trained on; may be empty.
        threshold: The threshold calibrated on validation videos, or None if there is none.

    Returns:
        ``held_out`` and ``seen``: `deepfake_mtl.metrics.binary_report` of the originals together
        with the manipulations that were held out, or with all others; None if there is no such
        manipulation. ``recall`` for each method in the test set. ``readouts``: see
        `deepfake_mtl.evaluation.predictors.evaluate_predictors`.

    Raises:
        DeepfakeMTLError: If a score is not finite.
    """
    scores = torch.tensor([each.score for each in predictions], dtype=torch.float64)
    return {
        **report_sets(predictions, scores, held_out, threshold),
        "recall": _recall(predictions, scores, held_out, threshold),
        "readouts": evaluate_predictors(predictions, held_out),
    }


def _recall(
    predictions: Sequence[Prediction],
    scores: Tensor,
    held_out: Sequence[str],
    threshold: float | None,
) -> dict[str, Recall]:
    methods = sort_methods({ORIGINAL, *(each.method for each in predictions)})
    labels = torch.tensor([methods.index(each.method) for each in predictions], dtype=torch.int64)
    videos = torch.bincount(labels, minlength=len(methods)).tolist()
    fixed = recall_by_method(scores, labels, methods)
    calibrated: dict[str, float | None] = dict.fromkeys(methods)
    if threshold is not None:
        calibrated = recall_by_method(scores, labels, methods, threshold)
    return {
        method: {
            "videos": count,
            "recall": fixed[method],
            "recall_calibrated": calibrated[method],
            "held_out": group_of(method, held_out) == "held_out",
        }
        for method, count in zip(methods, videos, strict=True)
        if count
    }
