"""The figures of a test, and the file ``results.json`` that holds them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, NotRequired, TypedDict

import torch

from deepfake_mtl.data.records import MANIPULATION_CLASSES, MANIPULATIONS, ORIGINAL
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.files import write_whole
from deepfake_mtl.evaluation.predictions import Prediction
from deepfake_mtl.metrics import binary_report, confusion_matrix, recall_by_method

SCHEMA_VERSION: Final = 1
"""Raised whenever a key of ``results.json`` changes its meaning."""

HEAD: Final = "manipulation/"
"""What the names of the outputs of the manipulation head begin with."""


class Corpus(TypedDict):
    """Which videos."""

    name: str
    compression: str
    synthetic: bool
    root: NotRequired[str]


class SplitCounts(TypedDict):
    """Numbers of videos."""

    real: int
    fake: int


class Counts(TypedDict):
    """Numbers of videos by split, and what was left out."""

    train: NotRequired[SplitCounts]
    val: NotRequired[SplitCounts]
    test: NotRequired[SplitCounts]
    missing: NotRequired[dict[str, int]]  # method: number of videos
    corrupt: NotRequired[list[str]]  # keys or paths


class Recall(TypedDict):
    """How the videos of one method are recognised; for originals as real, for others as fake."""

    videos: int
    recall: float | None  # at 0.5
    recall_calibrated: float | None
    held_out: bool


class Confusion(TypedDict):
    """What the manipulation head takes videos for; rows of the counts are the truth."""

    labels: list[str]
    counts: list[list[int]]


class Figures(TypedDict):
    """All figures of one test."""

    held_out: dict[str, float | None] | None
    seen: dict[str, float | None] | None
    recall: dict[str, Recall]
    confusion: Confusion | None


class Results(TypedDict):
    """The content of ``results.json``, in its order."""

    schema_version: int
    corpus: Corpus
    held_out: list[str]
    seed: int | None
    checkpoint: str | None
    counts: Counts
    figures: Figures
    config: Mapping[str, object]
    versions: Mapping[str, str]
    command: NotRequired[str]


def evaluate(
    predictions: Sequence[Prediction], held_out: Sequence[str], threshold: float | None
) -> Figures:
    """Computes the figures of the manipulations that were held out and of those that were seen.

    Args:
        predictions: One for each video of the test set: originals and all manipulations.
        held_out: Names of the manipulations that were not trained on; may be empty.
        threshold: The threshold calibrated on validation videos, or None if there is none.

    Returns:
        ``held_out`` and ``seen``: `deepfake_mtl.metrics.binary_report` of the originals together
        with the manipulations that were held out, or with all others; None if there is no such
        manipulation. ``recall`` for each method in the test set. ``confusion``: None if the
        detector has no manipulation head.

    Raises:
        DeepfakeMTLError: If a score is not finite.
    """
    present = {prediction.method for prediction in predictions}
    seen = (present | set(MANIPULATIONS)) - {ORIGINAL, *held_out}
    return {
        "held_out": _report(predictions, set(held_out), threshold),
        "seen": _report(predictions, seen, threshold),
        "recall": _recall(predictions, held_out, threshold),
        "confusion": _confusion(predictions),
    }


def write_results(folder: Path, results: Mapping[str, object]) -> Path:
    """Writes ``results.json``.

    Args:
        folder: Where to; made if it is missing.
        results: See `Results`. Known keys are written in its order, others after them.

    Returns:
        The path of the file.

    Raises:
        DeepfakeMTLError: If a number is not finite; the message says which.
        TypeError: If a value has no counterpart in JSON.
        OSError: If the file cannot be written.
    """
    _require_finite(results, "")
    known = [key for key in Results.__annotations__ if key in results]
    ordered = {key: results[key] for key in [*known, *sorted(results.keys() - set(known))]}
    text = json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return write_whole(folder / "results.json", text + "\n")


def sort_methods(methods: set[str]) -> list[str]:
    """Sorts names of methods: originals, the manipulations of FaceForensics++, then others."""
    known = [method for method in MANIPULATION_CLASSES if method in methods]
    return known + sorted(methods - set(known))


def _report(
    predictions: Sequence[Prediction], fakes: set[str], threshold: float | None
) -> dict[str, float | None] | None:
    if not fakes:
        return None
    chosen = [each for each in predictions if each.method in fakes | {ORIGINAL}]
    scores = torch.tensor([each.score for each in chosen], dtype=torch.float64)
    labels = torch.tensor([each.label for each in chosen], dtype=torch.int64)
    return binary_report(scores, labels, threshold)


def _recall(
    predictions: Sequence[Prediction], held_out: Sequence[str], threshold: float | None
) -> dict[str, Recall]:
    methods = sort_methods({ORIGINAL, *(each.method for each in predictions)})
    scores = torch.tensor([each.score for each in predictions], dtype=torch.float64)
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
            "held_out": method in held_out,
        }
        for method, count in zip(methods, videos, strict=True)
        if count
    }


def _confusion(predictions: Sequence[Prediction]) -> Confusion | None:
    if not predictions:
        return None
    classes = [name.removeprefix(HEAD) for name in predictions[0].outputs if name.startswith(HEAD)]
    if not classes:
        return None
    # A corpus may hold methods that the head has no class for: they have a row all the same.
    names = classes + sort_methods({each.method for each in predictions} - set(classes))
    truth = torch.tensor([names.index(each.method) for each in predictions])
    outputs = torch.tensor(
        [[each.outputs[HEAD + name] for name in classes] for each in predictions]
    )
    counts = confusion_matrix(truth, outputs.argmax(dim=1), len(names))
    return {"labels": names, "counts": counts.tolist()}


def _require_finite(value: object, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise DeepfakeMTLError(
            f"results.json cannot hold {value} at {place}; a figure that does not exist is None"
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            _require_finite(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _require_finite(item, f"{place}[{index}]")


def _plain(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no counterpart in JSON: {value!r}")
