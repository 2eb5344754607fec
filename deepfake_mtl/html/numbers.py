"""Numbers as text, on pages, in tables and in the terminal."""

from typing import Final

ABSENT: Final = "\N{EN DASH}"
"""Stands for a number that does not exist."""


def percent(share: float | None) -> str:
    """Return a share in per cent with one decimal, or `ABSENT`."""
    return ABSENT if share is None else f"{100 * share:.1f}"


def signed(value: float | None) -> str:
    """Return a number with its sign and three decimals, or `ABSENT`."""
    return ABSENT if value is None else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
