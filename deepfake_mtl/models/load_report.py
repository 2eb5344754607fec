"""What became of the tensors of a checkpoint, and of those of an encoder."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

AT_RANDOM: Final = "at random"


AT_ZERO: Final = "at zero"


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor of a checkpoint and of an encoder.

    Args:
        source: ``none``, or the file that was read.
        loaded: Name in the checkpoint -> name in the encoder.
        skipped: Name in the checkpoint -> why it was not loaded.
        left: Name in the encoder -> what it starts from instead.
    """

    source: str
    loaded: Mapping[str, str]
    skipped: Mapping[str, str]
    left: Mapping[str, str]


def log_report(report: LoadReport, encoder: str) -> None:
    """Log what became of the tensors, in few lines, and tensor by tensor where debugging."""
    _log.info(
        "%s: %d tensors loaded from %s",
        encoder,
        len(set(report.loaded.values())),
        report.source,
    )
    for why in dict.fromkeys(report.skipped.values()):
        names = [name for name, reason in report.skipped.items() if reason == why]
        _log.info("%s: skipped, %s: %s", encoder, why, _grouped(names))
    for how in dict.fromkeys(report.left.values()):
        names = [name for name, start in report.left.items() if start == how]
        level = logging.WARNING if how == AT_RANDOM else logging.INFO
        _log.log(level, "%s: not in the file, starts %s: %s", encoder, how, _grouped(names))
    for name, target in report.loaded.items():
        _log.debug("%s: loaded %s as %s", encoder, name, target)
    for name, why in report.skipped.items():
        _log.debug("%s: skipped %s, %s", encoder, name, why)
    for name, how in report.left.items():
        _log.debug("%s: %s starts %s", encoder, name, how)


def _grouped(names: Sequence[str], most: int = 6) -> str:
    if len(names) <= most:
        return ", ".join(names)
    groups = Counter(".".join(name.split(".")[:2]) for name in names)
    return some_of([f"{group}.* ({count})" for group, count in groups.items()], most)


def some_of(names: Sequence[str], most: int = 6) -> str:
    """Return the first names in one line, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
