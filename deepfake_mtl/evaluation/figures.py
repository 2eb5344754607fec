"""The pictures of a results page, as text that goes into HTML."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from deepfake_mtl.evaluation.conflict import Series
from deepfake_mtl.evaluation.predictions import Group
from deepfake_mtl.metrics.binary import RocCurve

NAMES: Final[Mapping[Group, str]] = {
    "original": "originals",
    "seen": "seen manipulations",
    "held_out": "held out",
}
"""How the groups of videos are called in legends."""

# Drawn in colours that nothing else has, which the page's style sheet then decides on: so the
# pictures are right in light and in dark.
_VARIABLES: Final = {
    "#010101": "--text",
    "#020202": "--muted",
    "#030303": "--line",
    "#040404": "--original",
    "#050505": "--seen",
    "#060606": "--held-out",
    **{f"#0{digit}0000": f"--stage-{digit}" for digit in range(1, 7)},
}
_TEXT, _MUTED, _LINE, *_OTHERS = _VARIABLES
_COLOURS: Final[Mapping[Group, str]] = dict(zip(NAMES, _OTHERS[:3], strict=True))
_STAGE_COLOURS: Final = _OTHERS[3:]
_STAGE_LINES: Final = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
_STAGE_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_MARKS: Final = 9

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "legend.frameon": False,
}


def roc_svg(curves: Mapping[Group, tuple[RocCurve, float]]) -> str:
    """Draws the ROC of seen and of held-out manipulations on one pair of axes.

    Args:
        curves: For each set its curve and its AUC in [0, 1].

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "roc"}):
        figure = Figure(figsize=(5, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=":", label="chance")
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
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
            xlabel="originals called fake",
            ylabel="fakes called fake",
        )
        _percent(axes.xaxis)
        _percent(axes.yaxis)
        axes.legend(loc="lower right")
        return _svg(figure, "ROC curves of seen and held-out manipulations")


def histogram_svg(scores: Mapping[Group, Sequence[float]], threshold: float | None) -> str:
    """Draws how the scores of each group of videos are spread, one below the other.

    Args:
        scores: Scores in [0, 1] of each group that has videos.
        threshold: The calibrated threshold, drawn beside 0.5, or None.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "histogram"}):
        figure = Figure(figsize=(5, 0.8 + 1.2 * len(scores)), layout="constrained")
        rows: NDArray[np.object_] = figure.subplots(
            len(scores), sharex=True, sharey=True, squeeze=False
        )[:, 0]
        for axes, (group, values) in zip(rows, scores.items(), strict=True):
            shares, edges = np.histogram(np.clip(values, 0, 1), bins=20, range=(0, 1))
            axes.stairs(shares / len(values), edges, fill=True, color=_COLOURS[group])
            axes.axvline(0.5, color=_TEXT, linewidth=1, linestyle="--")
            if threshold is not None:
                axes.axvline(threshold, color=_TEXT, linewidth=1.2, linestyle=":")
            axes.set_title(f"{NAMES[group]} ({len(values)})", loc="left", fontsize=10)
            axes.set(xlim=(0, 1))
            axes.grid(visible=False, axis="x")
            _percent(axes.yaxis)
        rows[-1].set_xlabel("score: probability of fake, mean over the clips of a video")
        figure.supylabel("share of videos", fontsize=10)
        return _svg(figure, "Histograms of the scores of originals, seen and held-out fakes")


def conflict_svg(series: Sequence[Series], name: str) -> str:
    """Draws cosines and ratios of norms of two tasks' gradients over the steps of training.

    Args:
        series: One for each stage of the encoder, from its input to its output; at least one.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page. What its lines mean is said
        by `stage_svg`.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(5, 5), layout="constrained")
        cosine, ratio = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        cosine.axhline(0, color=_TEXT, linewidth=1.2)
        ratio.axhline(1, color=_TEXT, linewidth=1.2)
        ratio.set_yscale("log")
        for stage, each in enumerate(series):
            for axes, values in ((cosine, each.cosines), (ratio, each.norm_ratios)):
                style = _stage_style(stage, len(series))
                axes.plot(each.steps, values, markevery=_marked(values, stage), **style)
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
        return _svg(figure, "Cosine and norm ratio of the gradients of two tasks over the steps")


def stage_svg(stage: int, stages: int, name: str) -> str:
    """Draws the line of a stage of the encoder as in `conflict_svg`, for a legend.

    Args:
        stage: Position of the stage.
        stages: Number of stages.
        name: Tells the picture from others of its kind on a page.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(0.6, 0.2))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 4), ylim=(-1, 1))
        axes.axis("off")
        axes.plot([0.2, 2, 3.8], [0, 0, 0], markevery=[1], **_stage_style(stage, stages))
        return _svg(figure, "Line")


def frames_as_png(frames: NDArray[np.uint8], count: int = 6, side: int = 192) -> list[str]:
    """Encodes evenly spread frames of a clip.

    Args:
        frames: Uint8 array (T, H, W, 3), RGB, T >= 1.
        count: At most so many frames.
        side: Frames whose longer side, in pixels, is above this are scaled down to it.

    Returns:
        ``data:`` addresses of PNG pictures.
    """
    places = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    pictures = []
    scale = min(1, side / max(frames.shape[1:3]))
    for frame in frames[places]:
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        pictures.append(f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}")
    return pictures


def _stage_style(stage: int, stages: int) -> dict[str, Any]:
    """Stages differ in three ways, so that they can be told apart without colour."""
    return {
        "color": _STAGE_COLOURS[round(stage * (len(_STAGE_COLOURS) - 1) / max(stages - 1, 1))],
        "linestyle": _STAGE_LINES[stage % len(_STAGE_LINES)],
        "linewidth": 1.6,
        "marker": _STAGE_MARKERS[stage % len(_STAGE_MARKERS)],
        "markersize": 5,
    }


def _marked(values: Sequence[float], stage: int) -> list[int]:
    """Where a line has markers: some places, and where it would be no line between two gaps."""
    every = max(1, len(values) // _MARKS)
    gaps = [True, *map(math.isnan, values), True]
    return [
        place
        for place in range(len(values))
        if (place + stage) % every == 0 or (gaps[place] and gaps[place + 2])
    ]


def _percent(axis: Axis) -> None:
    axis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")


def _svg(figure: Figure, description: str) -> str:
    """Renders a figure for being put into HTML: no addresses, no fixed size, no fixed colours."""
    text = io.StringIO()
    FigureCanvasSVG(figure)
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">") + 1 :]
    # It would hold for the whole page.
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    # Two pictures on a page would both have an `axes_1`; nothing refers to these.
    body = re.sub(r'<g id="[^"]*_\d+">', "<g>", body)
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return f'<svg {box.group() if box else ""} role="img" aria-label="{description}">{body}'
