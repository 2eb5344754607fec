"""The file ``results.json``, which holds the metrics of a test."""

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final, NotRequired, TypedDict

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.evaluation.files import RESULTS
from deepfake_mtl.util.files import write_whole

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


class Partial(TypedDict):
    """That a part of the test set was tested only."""

    batches: int  # that were scored, of the first process
    of: int


class Recall(TypedDict):
    """How the videos of one method are recognised; for originals as real, for others as fake."""

    videos: int
    recall: float | None  # at 0.5
    recall_calibrated: float | None
    held_out: bool


class Reports(TypedDict):
    """Metrics of originals against manipulations; None where there is no such manipulation."""

    held_out: dict[str, float | None] | None
    seen: dict[str, float | None] | None


class Confusion(TypedDict):
    """What a predictor takes videos for; rows of the counts are the truth."""

    labels: list[str]
    counts: list[list[int]]


class PredictorMetrics(Reports):
    """All metrics of one predictor."""

    classes: list[str]
    class_accuracy: float | None  # mean over the classes, without videos that were held out
    chance: float | None  # of these classes
    confusion: Confusion | None  # None where the classes are not methods


class PrecisionRecord(TypedDict):
    """What a run computed in."""

    used: str
    bf16_over_float32: float | None  # time of the probe; None where it was not measured


class Precisions(TypedDict):
    """What was computed in which precision, and where bfloat16 was measured, its time's ratio."""

    training: PrecisionRecord | None  # None: a checkpoint of before, which does not tell
    test: PrecisionRecord


class Metrics(Reports):
    """All metrics of a test; those of the sets and methods are of the score of a video."""

    recall: dict[str, Recall]
    readouts: dict[str, PredictorMetrics]


class Results(TypedDict):
    """The content of ``results.json``, in its order."""

    schema_version: int
    corpus: Corpus
    held_out: list[str]
    seed: int | None
    checkpoint: str | None
    partial: NotRequired[Partial]
    counts: Counts
    precision: NotRequired[Precisions]
    figures: Metrics
    gradient_conflict: NotRequired[list[ConflictRow]]
    config: Mapping[str, object]
    versions: Mapping[str, str]
    command: NotRequired[str]


def write_results(folder: Path, results: Mapping[str, object]) -> Path:
    """Write ``results.json``.

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


def _require_finite(value: object, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise DeepfakeMTLError(
            f"results.json cannot hold {value} at {place}; a metric that does not exist is None"
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
