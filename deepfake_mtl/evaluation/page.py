"""The results of a test as one HTML file that needs nothing beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypedDict, get_args

import torch
from markupsafe import Markup

from deepfake_mtl.data.protocol import TEST_SETS, Group, group_of, is_in_set
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation import pictures, table
from deepfake_mtl.evaluation.conflict_views import conflict_views
from deepfake_mtl.evaluation.examples import RULE, Example
from deepfake_mtl.evaluation.files import PAGE
from deepfake_mtl.evaluation.frames import frames_as_png
from deepfake_mtl.evaluation.predictions import Prediction
from deepfake_mtl.evaluation.results import Results
from deepfake_mtl.html.environment import template_environment
from deepfake_mtl.html.numbers import ABSENT
from deepfake_mtl.metrics import roc_curve
from deepfake_mtl.metrics.binary import RocCurve
from deepfake_mtl.util.files import write_whole

_GROUP_TITLES: Final[dict[Group, str]] = {
    "original": "Originals",
    "seen": "Seen manipulations",
    "held_out": "Held-out manipulations",
}


class _Card(TypedDict):
    prediction: Prediction
    verdict: str
    frames: list[str]


class _Gallery(TypedDict):
    group: Group
    title: str
    right: list[_Card]
    wrong: list[_Card]


def write_page(
    folder: Path,
    results: Results,
    predictions: Sequence[Prediction],
    examples: Sequence[Example],
    title: str,
) -> Path:
    """Write ``results.html``: tables, pictures, examples and set-up.

    Args:
        folder: Where to; made if it is missing.
        results: The content of ``results.json``.
        predictions: Predictions that the results were computed from.
        examples: Videos to be shown, chosen by `deepfake_mtl.evaluation.choose_examples`.
        title: The heading of the page.

    Returns:
        The path of the file.

    Raises:
        DeepfakeMTLError: If a score is not finite.
        OSError: If the file cannot be written.
    """
    text = (
        template_environment("deepfake_mtl.evaluation")
        .get_template("results.html")
        .render(
            title=title,
            results=results,
            synthetic=table.SYNTHETIC,
            partial=table.PARTIAL,
            absent=ABSENT,
            original=ORIGINAL,
            seen=table.seen_methods(results),
            calibrated=table.calibrated_name(results),
            threshold=table.threshold_of(results),
            rows=table.report_rows(results),
            reasons=table.reasons(results),
            predictor_columns=table.PREDICTOR_COLUMNS,
            predictor_rows=table.predictor_rows(results),
            predictor_notes=table.predictor_notes,
            predictor_title=table.predictor_title,
            clips=_clips(predictions),
            roc=_roc(results, predictions),
            histogram=_histogram(results, predictions),
            conflicts=conflict_views(results.get("gradient_conflict", []), "conflict"),
            rule=RULE,
            galleries=_galleries(results, examples),
            config=json.dumps(results["config"], indent=2, ensure_ascii=False, default=str),
        )
    )
    return write_whole(folder / PAGE, text)


def _clips(predictions: Sequence[Prediction]) -> str:
    """Say how many clips a video gave."""
    counts = sorted({each.clips for each in predictions})
    if not counts:
        return "no clips"
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} clips"
    return "1 clip" if counts == [1] else f"{counts[0]} clips"


def _roc(results: Results, predictions: Sequence[Prediction]) -> Markup | None:
    curves: dict[Group, tuple[RocCurve, float]] = {}
    for chosen in reversed(TEST_SETS):  # what was held out is drawn last, on top
        report = results["figures"][chosen]
        auc = None if report is None else report["auc"]
        if auc is None:
            continue
        members = [
            each for each in predictions if is_in_set(each.method, results["held_out"], chosen)
        ]
        scores = torch.tensor([each.score for each in members], dtype=torch.float64)
        labels = torch.tensor([each.label for each in members], dtype=torch.int64)
        curve = roc_curve(scores, labels)
        if curve is not None:
            curves[chosen] = (curve, auc)
    # Drawn by this package from numbers and fixed names: safe as markup.
    return Markup(pictures.roc_svg(curves)) if curves else None  # noqa: S704


def _histogram(results: Results, predictions: Sequence[Prediction]) -> Markup | None:
    scores = {
        group: [
            each.score
            for each in predictions
            if group_of(each.method, results["held_out"]) == group
        ]
        for group in get_args(Group)
    }
    scores = {group: values for group, values in scores.items() if values}
    if not scores:
        return None
    return Markup(pictures.histogram_svg(scores, table.threshold_of(results)))  # noqa: S704


def _galleries(results: Results, examples: Sequence[Example]) -> list[_Gallery]:
    galleries: list[_Gallery] = []
    for group in get_args(Group):
        members = [
            example
            for example in examples
            if group_of(example.prediction.method, results["held_out"]) == group
        ]
        if members:
            galleries.append(
                {
                    "group": group,
                    "title": _GROUP_TITLES[group],
                    "right": [_card(each) for each in members if each.prediction.is_right],
                    "wrong": [_card(each) for each in members if not each.prediction.is_right],
                }
            )
    return galleries


def _card(example: Example) -> _Card:
    prediction = example.prediction
    called = "fake" if prediction.score >= 0.5 else "real"
    return {
        "prediction": prediction,
        "verdict": f"called {called}, {'rightly' if prediction.is_right else 'wrongly'}",
        "frames": frames_as_png(example.frames),
    }
