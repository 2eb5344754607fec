"""The metrics of each predictor: of everything that gives probabilities of classes.

Where a predictor's first class is what is real, it also says how probably a video is fake. Others,
those of tasks with labels of their own, have no metrics here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_mtl.data.protocol import group_of
from deepfake_mtl.data.records import BINARY_CLASSES, MANIPULATION_CLASSES, ORIGINAL
from deepfake_mtl.evaluation.predictions import Prediction, sort_methods
from deepfake_mtl.evaluation.reports import report_sets
from deepfake_mtl.evaluation.results import Confusion, PredictorMetrics
from deepfake_mtl.metrics import confusion_matrix, fake_probability, tells_fakes


def evaluate_predictors(
    predictions: Sequence[Prediction], held_out: Sequence[str]
) -> dict[str, PredictorMetrics]:
    """Compute the metrics of every predictor among the outputs of the predictions.

    Args:
        predictions: One for each video of the test set, all with the same outputs.
        held_out: Names of the manipulations that were not trained on; may be empty.

    Returns:
        By name, in the order of the outputs, each predictor that tells fakes. ``held_out`` and
        ``seen`` are of the score 1 - the probability of the first class, without a calibrated
        threshold; for the first predictor, of the score of the video, which is the same but for
        rounding. ``class_accuracy``: among originals and seen manipulations, the share of each
        class's videos whose most probable class is theirs, averaged over the classes that have
        videos; ``chance``: 1 / number of those. None if there are no such videos, or if the classes
        are neither real and fake nor manipulations.

    Raises:
        DeepfakeMTLError: If a probability is not finite.
    """
    classes: dict[str, list[str]] = {}
    for output in predictions[0].outputs if predictions else ():
        predictor, _, name = output.partition("/")
        classes.setdefault(predictor, []).append(name)
    return {
        predictor: _evaluate(predictions, held_out, predictor, names, is_score=position == 0)
        for position, (predictor, names) in enumerate(classes.items())
        if tells_fakes(names)
    }


def _evaluate(
    predictions: Sequence[Prediction],
    held_out: Sequence[str],
    predictor: str,
    classes: list[str],
    *,
    is_score: bool,
) -> PredictorMetrics:
    probabilities = torch.tensor(
        [[each.outputs[f"{predictor}/{name}"] for name in classes] for each in predictions],
        dtype=torch.float64,
    )
    # Where scores are all but equal, rounding alone would decide about the order of videos.
    score = torch.tensor([each.score for each in predictions], dtype=torch.float64)
    fake = score if is_score else fake_probability(probabilities)
    taken_for = probabilities.argmax(dim=1)
    accuracy, chance = _class_accuracy(predictions, held_out, classes, taken_for)
    return {
        "classes": classes,
        **report_sets(predictions, fake, held_out, threshold=None),
        "class_accuracy": accuracy,
        "chance": chance,
        "confusion": _confusion(predictions, classes, taken_for) if _are_methods(classes) else None,
    }


def _class_accuracy(
    predictions: Sequence[Prediction],
    held_out: Sequence[str],
    classes: Sequence[str],
    taken_for: Tensor,
) -> tuple[float | None, float | None]:
    truths = [
        None if group_of(each.method, held_out) == "held_out" else _true_class(each, classes)
        for each in predictions
    ]
    known = torch.tensor([truth is not None for truth in truths], dtype=torch.bool)
    truth = torch.tensor([truth for truth in truths if truth is not None], dtype=torch.int64)
    right = truth == taken_for[known]
    shares = [float(right[truth == label].double().mean()) for label in set(truth.tolist())]
    return (sum(shares) / len(shares), 1 / len(shares)) if shares else (None, None)


def _true_class(prediction: Prediction, classes: Sequence[str]) -> int | None:
    if _are_methods(classes) and prediction.method in classes:
        return classes.index(prediction.method)
    if tuple(classes) == BINARY_CLASSES:
        return int(prediction.label)
    return None


def _are_methods(classes: Sequence[str]) -> bool:
    return ORIGINAL in classes and set(classes) <= set(MANIPULATION_CLASSES)


def _confusion(
    predictions: Sequence[Prediction], classes: list[str], taken_for: Tensor
) -> Confusion:
    # A corpus may hold methods that the predictor has no class for: they have a row all the same.
    names = classes + sort_methods({each.method for each in predictions} - set(classes))
    truth = torch.tensor([names.index(each.method) for each in predictions], dtype=torch.int64)
    return {
        "labels": names,
        "counts": confusion_matrix(truth, taken_for, len(names)).tolist(),
    }
