"""How much the gradients of tasks conflict on the parameters that they share."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepfake_mtl.models.distributed import average_over_ranks


class GradientConflict(NamedTuple):
    """How the gradient of one task stands to that of another, on one group of parameters.

    Attributes:
        cosine: Scalar from -1 to 1; below 0, a step for the one undoes some of the other. NaN where
            a gradient is zero or not finite.
        norm_ratio: Scalar: norm of the first task's gradient over the second's; likewise.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import GradientConflict
        >>> conflict = GradientConflict(cosine=torch.tensor(-0.2), norm_ratio=torch.tensor(3.0))
        >>> bool(conflict.cosine < 0)
        True
    """

    cosine: Tensor
    norm_ratio: Tensor


class ConflictMeter:
    """A comparison of the gradients of tasks, summed over the micro-batches of one optimizer step.

    Call `add` before the backward pass of each micro-batch and `compute` once. It reads gradients
    by `torch.autograd.grad`, so that it neither touches ``.grad`` nor starts DDP's reduction; each
    task costs about one more backward pass through the shared parameters, and memory for one
    float32 copy of them.

    Args:
        groups: Parameters to compare the gradients on, by name, such as the stages of an encoder.

    Raises:
        ValueError: A group holds no parameter that is trained.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import ConflictMeter
        >>> shared = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> meter = ConflictMeter({"stem": [shared]})
        >>> meter.add({"binary": shared.sum(), "manipulation": -2 * shared.sum()})
        >>> meter.compute()["stem"]["binary", "manipulation"].norm_ratio
        tensor(0.5000)
    """

    def __init__(self, groups: Mapping[str, Iterable[nn.Parameter]]) -> None:
        self._groups = {
            name: [p for p in parameters if p.requires_grad] for name, parameters in groups.items()
        }
        for name, parameters in self._groups.items():
            if not parameters:
                raise ValueError(f"group {name!r} holds no parameter that is trained")
        self._gradients: dict[str, dict[str, list[Tensor]]] = {}

    def add(self, losses: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add the gradients of a micro-batch.

        The graph is kept for the backward pass that follows.

        Args:
            losses: One scalar a task.
            scale: What losses are multiplied by on the way, and gradients divided by: that of the
                gradient scaler under float16, where small gradients would vanish otherwise.
        """
        parameters = [p for group in self._groups.values() for p in group]
        for task, loss in losses.items():
            # Under autocast the backward pass of a loss in float32 would be rounded.
            with torch.autocast(loss.device.type, enabled=False):
                gradients = torch.autograd.grad(
                    loss * scale, parameters, retain_graph=True, allow_unused=True
                )
            rest = iter(zip(parameters, gradients, strict=True))
            groups = self._gradients.setdefault(task, {})
            for name, group in self._groups.items():
                new = [_in_full(*next(rest), scale) for _ in group]
                if name in groups:
                    torch._foreach_add_(groups[name], new)
                else:
                    groups[name] = new

    def compute(self) -> dict[str, dict[tuple[str, str], GradientConflict]]:
        """Return the comparison for each group and each pair of tasks, and start anew.

        Gradients are averaged over the ranks first, so all ranks must call it.

        Returns:
            By group, then by the names of two tasks in the order in which they were added; scalars
            on the device of the parameters.
        """
        conflicts = {name: self._compare(name) for name in self._groups}
        self._gradients = {}
        return conflicts

    def _compare(self, group: str) -> dict[tuple[str, str], GradientConflict]:
        rows = {}
        for task, groups in self._gradients.items():
            average_over_ranks(groups[group])
            rows[task] = torch.cat([gradient.reshape(-1) for gradient in groups[group]])
        norms = {}
        for task, row in rows.items():
            norm = torch.linalg.vector_norm(row)
            norms[task] = norm.where((norm > 0) & norm.isfinite(), torch.nan)
        return {
            (a, b): GradientConflict(
                # Sums of products, not a matrix product: that may be rounded by autocast.
                cosine=((rows[a] / norms[a]) * (rows[b] / norms[b])).sum().clamp(-1, 1),
                norm_ratio=norms[a] / norms[b],
            )
            for a, b in combinations(rows, 2)
        }


def gradient_conflict(
    losses: Mapping[str, Tensor], groups: Mapping[str, Iterable[nn.Parameter]]
) -> dict[str, dict[tuple[str, str], GradientConflict]]:
    """Compare the gradients of the tasks of one batch: a `ConflictMeter` in one call.

    Args:
        losses: One scalar a task.
        groups: Parameters to compare the gradients on, by name.

    Returns:
        By group, then by the names of two tasks.

    Raises:
        ValueError: A group holds no parameter that is trained.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import gradient_conflict
        >>> shared = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> losses = {"binary": shared[0], "manipulation": shared[0] + shared[1]}
        >>> gradient_conflict(losses, {"stem": [shared]})["stem"]["binary", "manipulation"].cosine
        tensor(0.7071)
    """
    meter = ConflictMeter(groups)
    meter.add(losses)
    return meter.compute()


def _in_full(parameter: nn.Parameter, gradient: Tensor | None, scale: float) -> Tensor:
    dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
    if gradient is None:
        return torch.zeros_like(parameter, dtype=dtype)
    return gradient.to(dtype) / scale
