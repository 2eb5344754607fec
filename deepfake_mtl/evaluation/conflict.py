"""How the gradients of two tasks stood to each other in training, as rows of ``results.json``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict


class ConflictRow(TypedDict):
    """One measurement; see `deepfake_mtl.losses.conflict.GradientConflict`."""

    step: int  # of the optimizer
    group: str  # stage of the encoder
    tasks: list[str]  # names of two tasks
    cosine: float | None
    norm_ratio: float | None  # norm of the first task's gradient over that of the second


@dataclass(frozen=True, slots=True)
class Series:
    """The measurements of two tasks on one stage of the encoder.

    Attributes:
        steps: Optimizer steps, rising.
        cosines: One a step; NaN where there is none.
        norm_ratios: One a step, positive; NaN where there is none.
    """

    steps: tuple[int, ...]
    cosines: tuple[float, ...]
    norm_ratios: tuple[float, ...]

    @property
    def mean_cosine(self) -> float | None:
        """Mean of the cosines that there are, or None if there are none."""
        return _or_none(_mean(self.cosines))

    @property
    def share_below_zero(self) -> float | None:
        """Share of the cosines that there are, or None if there are none."""
        return _or_none(_mean([float(cosine < 0) for cosine in _found(self.cosines)]))

    def blocks(self, length: int) -> "Series":
        """Average so many neighbouring measurements each, geometrically for the ratios.

        Args:
            length: Number of measurements of a block, at least 1; the last block may be shorter.

        Returns:
            At each block's middle step the mean of the measurements that there are; NaN where
            there are none.
        """
        blocks = [slice(start, start + length) for start in range(0, len(self.steps), length)]
        logs = [math.log(ratio) if ratio > 0 else math.nan for ratio in self.norm_ratios]
        return Series(
            steps=tuple(self.steps[block][len(self.steps[block]) // 2] for block in blocks),
            cosines=tuple(_mean(self.cosines[block]) for block in blocks),
            norm_ratios=tuple(math.exp(_mean(logs[block])) for block in blocks),
        )


def conflict_series(rows: Sequence[ConflictRow]) -> dict[tuple[str, str], dict[str, Series]]:
    """Sort measurements by pair of tasks, stage and step.

    Args:
        rows: Measurements in any order of steps; pairs and stages stay in the order of their first.

    Returns:
        By the names of two tasks, then by stage.
    """
    found: dict[tuple[str, str], dict[str, list[ConflictRow]]] = {}
    for row in rows:
        first, second = row["tasks"]
        found.setdefault((first, second), {}).setdefault(row["group"], []).append(row)
    return {
        pair: {group: _series(members) for group, members in groups.items()}
        for pair, groups in found.items()
    }


def _series(rows: Sequence[ConflictRow]) -> Series:
    rows = sorted(rows, key=lambda row: row["step"])
    return Series(
        steps=tuple(row["step"] for row in rows),
        cosines=tuple(_number(row["cosine"]) for row in rows),
        norm_ratios=tuple(_number(row["norm_ratio"]) for row in rows),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _found(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> float:
    found = _found(values)
    return sum(found) / len(found) if found else math.nan
