"""What to do about videos that a list names and that are not there."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

OnMissing = Literal["error", "skip"]

_NAMED: Final = 5
"""How many missing videos of a method are named."""


def describe_missing(
    missing: Mapping[str, Sequence[str]],
    asked: Mapping[str, int],
    named_by: str,
    remedy: str = "with --data.on_missing skip",
) -> str:
    """Say how many videos are missing, which, and what to do.

    Args:
        missing: Names of videos by method.
        asked: How many the list names, by method.
        named_by: What names them, with its verb: ``the splits name``.
        remedy: How to go on without them.
    """
    lines = []
    for method, names in missing.items():
        if len(names) == asked[method]:
            lines.append(f"  {method}: all {len(names)}")
        else:
            some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            lines.append(f"  {method}: {len(names)} of {asked[method]} ({some})")
    total = sum(map(len, missing.values()))
    return "\n".join(
        [
            f"{total} of {sum(asked.values())} videos that {named_by} are not there:",
            *lines,
            f"download them, or go on without them {remedy}",
        ]
    )
