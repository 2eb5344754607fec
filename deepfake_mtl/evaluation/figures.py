"""The pictures of a results page, as text that goes into HTML."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

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
}
_TEXT, _MUTED, _LINE, *_GROUP_COLOURS = _VARIABLES
_COLOURS: Final[Mapping[Group, str]] = dict(zip(NAMES, _GROUP_COLOURS, strict=True))

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
