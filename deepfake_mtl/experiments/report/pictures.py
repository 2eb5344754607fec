"""The pictures of a benchmark's page, as text that goes into HTML."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepfake_mtl.data.protocol import group_of
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.predictions import sort_methods
from deepfake_mtl.experiments.report.curves import FALSE_ALARMS
from deepfake_mtl.experiments.report.features import Projection, shown
from deepfake_mtl.html.drawing import (
    GROUP_COLOURS,
    LINE_COLOURS,
    MUTED,
    STYLE,
    as_roc,
    line_style,
    marked,
    percent_axis,
    svg_of,
)

# Squares in the colour of what was seen, then others that differ from it in colour as well.
_SEEN: Final = (
    ("s", GROUP_COLOURS[1]),
    ("^", LINE_COLOURS[1]),
    ("D", MUTED),
    ("v", LINE_COLOURS[4]),
    ("P", LINE_COLOURS[2]),
)


def rocs_svg(curves: Mapping[int, NDArray[Any]], lines: int, name: str) -> str:
    """Draw the ROC of several configurations on one pair of axes.

    Args:
        curves: Rates of true alarms at `FALSE_ALARMS`, by the place of the configuration.
        lines: Number of configurations, which decides how their lines look.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        for place, rates in curves.items():
            axes.plot(
                FALSE_ALARMS,
                rates,
                markevery=marked(rates.tolist(), place),
                clip_on=False,
                **line_style(place, lines),
            )
        as_roc(axes)
        return svg_of(figure, "ROC curves of the configurations")


def robustness_svg(
    values: Sequence[Sequence[float | None]], ticks: Sequence[str], label: str, name: str
) -> str:
    """Draw a metric of several configurations over the strengths of a treatment.

    Args:
        values: Shares in [0, 1] of each configuration, one a strength; None where there is none.
        ticks: The strengths, in words.
        label: What the strengths are.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=":")
        for place, line in enumerate(values):
            shares = [math.nan if value is None else value for value in line]
            axes.plot(range(len(ticks)), shares, **line_style(place, len(values)))
        found = [value for line in values for value in line if value is not None]
        axes.set(ylim=(min([0.45, *found]) - 0.02, 1.02), xlim=(-0.3, len(ticks) - 0.7))
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlabel(label)
        percent_axis(axes.yaxis)
        return svg_of(figure, f"Figures under {label}")


def projection_svg(projection: Projection, name: str) -> str:
    """Draw the features of test videos by class.

    Args:
        projection: Projection of one training.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page. What its marks mean is said by
        `mark_svg`.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(3, 2.6), layout="constrained")
        axes = figure.add_subplot()
        for method in sort_methods(set(projection.methods)):
            places = shown(projection.methods, method)
            points = projection.points[places]
            style = _mark(method, projection.methods, projection.held_out)
            axes.plot(points[:, 0], points[:, 1], **style)
        axes.tick_params(labelbottom=False, labelleft=False)
        first, second = projection.explained
        axes.set_xlabel(f"{100 * first:.0f} % of the variance", fontsize=9, color=MUTED)
        axes.set_ylabel(f"{100 * second:.0f} %", fontsize=9, color=MUTED)
        return svg_of(figure, "Features of test videos, projected to two dimensions")


def mark_svg(method: str, methods: Sequence[str], held_out: Sequence[str], name: str) -> str:
    """Draw a mark of `projection_svg` by itself, for the legend.

    Args:
        method: Whose mark.
        methods: All methods in the picture.
        held_out: Manipulations that were not trained on.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(0.2, 0.2))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-1, 1), ylim=(-1, 1))
        axes.axis("off")
        axes.plot([0], [0], **{**_mark(method, methods, held_out), "markersize": 7})
        return svg_of(figure, "Mark")


def _mark(method: str, methods: Sequence[str], held_out: Sequence[str]) -> dict[str, Any]:
    """Draw originals as dots, what was held out as crosses, what was seen in a shape each."""
    style: dict[str, Any] = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    if method == ORIGINAL:
        return {**style, "color": GROUP_COLOURS[0], "marker": "o"}
    if group_of(method, held_out) == "held_out":
        return {**style, "color": GROUP_COLOURS[2], "marker": "x", "markeredgewidth": 1.3}
    seen = sort_methods({each for each in methods if group_of(each, held_out) == "seen"})
    marker, colour = _SEEN[seen.index(method) % len(_SEEN)]
    return {**style, "color": colour, "marker": marker, "alpha": 0.85}
