"""The figures of a test, and the file ``results.json`` that holds them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, NotRequired, TypedDict

import torch
from torch import Tensor

from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.evaluation.files import RESULTS, write_whole
from deepfake_mtl.evaluation.predictions import Prediction, sort_methods
from deepfake_mtl.evaluation.readouts import Readout, evaluate_readouts
from deepfake_mtl.evaluation.reports import Reports, report_sets
from deepfake_mtl.metrics import recall_by_method

SCHEMA_VERSION: Final = 2
"""Raised whenever a key of ``results.json`` changes its meaning or its place."""


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


class Figures(Reports):
    """All figures of one test; those of the sets and methods are of the score of a video."""

    recall: dict[str, Recall]
    readouts: dict[str, Readout]


class Results(TypedDict):
    """The content of ``results.json``, in its order."""

    schema_version: int
    corpus: Corpus
    held_out: list[str]
    seed: int | None
    checkpoint: str | None
    counts: Counts
    figures: Figures
    gradient_conflict: NotRequired[list[ConflictRow]]
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
        manipulation. ``recall`` for each method in the test set. ``readouts``: see
        `deepfake_mtl.evaluation.readouts.evaluate_readouts`.

    Raises:
        DeepfakeMTLError: If a score is not finite.
    """
    scores = torch.tensor([each.score for each in predictions], dtype=torch.float64)
    return {
        **report_sets(predictions, scores, held_out, threshold),
        "recall": _recall(predictions, scores, held_out, threshold),
        "readouts": evaluate_readouts(predictions, held_out),
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
    return write_whole(folder / RESULTS, text + "\n")


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
            "held_out": method in held_out,
        }
        for method, count in zip(methods, videos, strict=True)
        if count
    }


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
