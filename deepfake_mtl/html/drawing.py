"""Pictures that stand in HTML: drawn as text, in the colours of the page."""

import html
import io
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

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
TEXT, MUTED, LINE, *_OTHERS = _VARIABLES
GROUP_COLOURS: Final = _OTHERS[:3]
"""Of originals, seen and held-out manipulations."""

LINE_COLOURS: Final = _OTHERS[3:]
_DASHES: Final = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_MARKS: Final = 9

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
}
"""Settings of matplotlib for `svg_of`."""


def line_style(place: int, lines: int) -> dict[str, Any]:
    """Return options of a line: colour, dash and marker, so that colour is not needed.

    Args:
        place: Place of the line among the others, from 0.
        lines: How many there are.
    """
    return {
        "color": LINE_COLOURS[round(place * (len(LINE_COLOURS) - 1) / max(lines - 1, 1))],
        "linestyle": _DASHES[place % len(_DASHES)],
        "linewidth": 1.6,
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 5,
    }


def marked(values: Sequence[float], place: int) -> list[int]:
    """Return where a line has markers: some places, and single points between two gaps.

    Args:
        values: Along the line; NaN where it has gaps.
        place: Place of the line among the others: neighbours have markers in different places.
    """
    every = max(1, len(values) // _MARKS)
    gaps = [True, *map(math.isnan, values), True]
    return [
        position
        for position in range(len(values))
        if (position + place) % every == 0 or (gaps[position] and gaps[position + 2])
    ]


def percent_axis(axis: Axis) -> None:
    """Show shares in per cent."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")


def as_roc(axes: Axes) -> None:
    """Set axes up for a ROC curve."""
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        xlabel="originals called fake",
        ylabel="fakes called fake",
    )
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)


def svg_of(figure: Figure, description: str) -> str:
    """Render a figure for HTML: no addresses, no fixed size, no fixed colours.

    Args:
        figure: Drawn under `STYLE`, with a hash salt (``svg.hashsalt``) that no other picture of
            the page has.
        description: For those who cannot see it.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
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
    label = html.escape(description)
    return f'<svg {box.group() if box else ""} role="img" aria-label="{label}">{body}'
