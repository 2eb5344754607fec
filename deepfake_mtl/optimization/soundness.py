"""Whether a model is worth a checkpoint: weights that are not finite never get better."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import CheckpointError, DivergenceError

_NAMED = 3
"""Tensors that a message names."""


def not_finite(state: Mapping[str, object]) -> list[str]:
    """Return the names of floating-point tensors that hold an infinity or NaN.

    The device is waited for once.
    """
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    if not tensors:
        return []
    device = next(iter(tensors.values())).device
    flags = [value.detach().isfinite().all().to(device) for value in tensors.values()]
    finite = torch.stack(flags).tolist()
    return [name for name, is_finite in zip(tensors, finite, strict=True) if not is_finite]


class Soundness:
    """Keep weights that are not finite out of checkpoints and resumed trainings.

    Args:
        module: What is trained, before any training: buffers that are not finite then, such as
            masks of attention, are so by design.
    """

    def __init__(self, module: nn.Module) -> None:
        self._by_design = frozenset(not_finite(dict(module.named_buffers())))

    def check_saved(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse to save a training that has diverged.

        Raises:
            DivergenceError: There are weights that are not finite.
        """
        wrong = self._describe(checkpoint["state_dict"])
        if wrong:
            raise DivergenceError(
                f"the training has diverged: after step {checkpoint['global_step']}, not all of "
                f"{wrong} is finite. That is not saved; checkpoints of before are as they were. Go "
                "on from one of them with a smaller learning_rate, with gradient_clip_val, or with "
                "precision 32-true"
            )

    def check_resumed(self, state: Mapping[str, object]) -> None:
        """Refuse to go on with a training that has diverged.

        Args:
            state: State dict of a checkpoint, with the names that the module has.

        Raises:
            CheckpointError: There are weights that are not finite.
        """
        wrong = self._describe(state)
        if wrong:
            raise CheckpointError(
                f"the checkpoint is of a training that had diverged: not all of {wrong} is "
                "finite. Go on from an earlier one"
            )

    def _describe(self, state: Mapping[str, object]) -> str:
        """Say which tensors are not finite but should be; nothing if none is."""
        names = [name for name in not_finite(state) if name not in self._by_design]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more
