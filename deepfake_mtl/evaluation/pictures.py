"""The pictures of a results page, as text that goes into HTML."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from deepfake_mtl.data.protocol import Group
from deepfake_mtl.evaluation.conflict import Series
from deepfake_mtl.html.drawing import (
    GROUP_COLOURS,
    MUTED,
    STYLE,
    TEXT,
    as_roc,
    line_style,
    marked,
    percent_axis,
    svg_of,
)

if TYPE_CHECKING:  # PyTorch, which nothing else here needs
    from deepfake_mtl.metrics.binary import RocCurve

NAMES: Final[Mapping[Group, str]] = {
    "original": "originals",
    "seen": "seen manipulations",
    "held_out": "held out",
}
"""How the groups of videos are called in legends."""

_COLOURS: Final[Mapping[Group, str]] = dict(zip(NAMES, GROUP_COLOURS, strict=True))


def roc_svg(curves: "Mapping[Group, tuple[RocCurve, float]]") -> str:
    """Draw the ROC of seen and of held-out manipulations on one pair of axes.

    Args:
        curves: Curve and AUC in [0, 1] of each set.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": "roc"}):
        figure = Figure(figsize=(5, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
        for group, (curve, auc) in curves.items():
            axes.plot(
                curve.fpr.numpy(),
                curve.tpr.numpy(),
                color=_COLOURS[group],
                linewidth=2.2,
                linestyle="-" if group == "held_out" else "--",
                label=f"{NAMES[group]}, AUC {100 * auc:.1f} %",
                clip_on=False,
            )
        as_roc(axes)
        axes.legend(loc="lower right")
        return svg_of(figure, "ROC curves of seen and held-out manipulations")


def histogram_svg(scores: Mapping[Group, Sequence[float]], threshold: float | None) -> str:
    """Draw how the scores of each group of videos are spread, one below the other.

    Args:
        scores: Scores in [0, 1] of each group that has videos.
        threshold: The calibrated threshold, drawn beside 0.5, or None.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": "histogram"}):
        figure = Figure(figsize=(5, 0.8 + 1.2 * len(scores)), layout="constrained")
        rows: NDArray[np.object_] = figure.subplots(
            len(scores), sharex=True, sharey=True, squeeze=False
        )[:, 0]
        for axes, (group, values) in zip(rows, scores.items(), strict=True):
            shares, edges = np.histogram(np.clip(values, 0, 1), bins=20, range=(0, 1))
            axes.stairs(shares / len(values), edges, fill=True, color=_COLOURS[group])
            axes.axvline(0.5, color=TEXT, linewidth=1, linestyle="--")
            if threshold is not None:
                axes.axvline(threshold, color=TEXT, linewidth=1.2, linestyle=":")
            axes.set_title(f"{NAMES[group]} ({len(values)})", loc="left", fontsize=10)
            axes.set(xlim=(0, 1))
            axes.grid(visible=False, axis="x")
            percent_axis(axes.yaxis)
        rows[-1].set_xlabel("score: probability of fake, mean over the clips of a video")
        figure.supylabel("share of videos", fontsize=10)
        return svg_of(figure, "Histograms of the scores of originals, seen and held-out fakes")


def conflict_svg(series: Sequence[Series], name: str) -> str:
    """Draw cosines and ratios of norms of two tasks' gradients over the steps of training.

    Args:
        series: One for each stage of the encoder, from its input to its output; at least one.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page. What its lines mean is said
        by `stage_svg`.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(5, 5), layout="constrained")
        cosine, ratio = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        cosine.axhline(0, color=TEXT, linewidth=1.2)
        ratio.axhline(1, color=TEXT, linewidth=1.2)
        ratio.set_yscale("log")
        for stage, each in enumerate(series):
            for axes, values in ((cosine, each.cosines), (ratio, each.norm_ratios)):
                style = line_style(stage, len(series))
                axes.plot(each.steps, values, markevery=marked(values, stage), **style)
        # The zero line in the middle: above it the tasks agree, below it they do not.
        found = [abs(value) for each in series for value in each.cosines if not math.isnan(value)]
        limit = min(1.05, max([0.05, *found]) * 1.1)
        cosine.set(ylim=(-limit, limit))
        cosine.set_title("cosine of the two gradients", loc="left", fontsize=10)
        ratio.set_title("ratio of their norms", loc="left", fontsize=10)
        steps = [step for each in series for step in each.steps]
        margin = max(0.5, 0.04 * (max(steps) - min(steps)))
        ratio.set(xlim=(min(steps) - margin, max(steps) + margin), xlabel="optimizer step")
        ratio.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        low, high = ratio.get_ylim()
        ratio.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        ratio.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ratio.yaxis.set_minor_formatter(NullFormatter())
        return svg_of(figure, "Cosine and norm ratio of the gradients of two tasks over the steps")


def stage_svg(stage: int, stages: int, name: str) -> str:
    """Draw the line of a stage of the encoder as in `conflict_svg`, for a legend.

    Args:
        stage: Position of the stage.
        stages: Number of stages.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(0.6, 0.2))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 4), ylim=(-1, 1))
        axes.axis("off")
        axes.plot([0.2, 2, 3.8], [0, 0, 0], markevery=[1], **line_style(stage, stages))
        return svg_of(figure, "Line")
