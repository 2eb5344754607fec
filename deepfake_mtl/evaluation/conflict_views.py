"""How the gradients of two tasks stood to each other, as pages show it."""

import math
from collections.abc import Sequence
from typing import Final, TypedDict

from markupsafe import Markup

from deepfake_mtl.evaluation import pictures, table
from deepfake_mtl.evaluation.conflict import ConflictRow, conflict_series

_POINTS: Final = 40  # more of them on a line cannot be told from those on other lines


class Stage(TypedDict):
    """A stage of the encoder."""

    name: str
    line: Markup
    mean_cosine: float | None
    share_below_zero: float | None


class Conflict(TypedDict):
    """Two tasks."""

    first: str
    second: str
    picture: Markup
    block: int  # number of measurements to a point
    stages: list[Stage]


def conflict_views(rows: Sequence[ConflictRow], name: str) -> list[Conflict]:
    """Draw what the template ``conflicts.html`` shows.

    Args:
        rows: Measurements of one training, or means over several.
        name: Tells the pictures from others on a page.

    Returns:
        One for each two tasks.
    """
    conflicts: list[Conflict] = []
    found = conflict_series(rows)
    for pair, ((first, second), groups) in enumerate(found.items()):
        picture = f"{name}-{pair}"
        block = math.ceil(max(len(series.steps) for series in groups.values()) / _POINTS)
        blocks = [series.blocks(block) for series in groups.values()]
        conflicts.append(
            {
                "first": table.words(first),
                "second": table.words(second),
                "picture": Markup(pictures.conflict_svg(blocks, picture)),  # noqa: S704
                "block": block,
                "stages": [
                    {
                        "name": group,
                        "line": Markup(  # noqa: S704
                            pictures.stage_svg(stage, len(groups), f"{picture}-{stage}")
                        ),
                        "mean_cosine": series.mean_cosine,
                        "share_below_zero": series.share_below_zero,
                    }
                    for stage, (group, series) in enumerate(groups.items())
                ],
            }
        )
    return conflicts
