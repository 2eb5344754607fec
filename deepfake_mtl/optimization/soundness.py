"""Whether a training is worth a checkpoint: what is not finite never gets better."""

from collections.abc import Iterator, Mapping
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
    """Keep what is not finite out of checkpoints and resumed trainings.

    That is weights, their averages, and the state of optimizers, such as Adam's moments: one that
    is not finite spoils its weights at the next step, or holds them still for ever.

    Args:
        module: What is trained, before any training: buffers that are not finite then, such as
            masks of attention, are so by design.
    """

    def __init__(self, module: nn.Module) -> None:
        self._by_design = frozenset(not_finite(dict(module.named_buffers())))

    def check_saved(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse to save a training that has diverged.

        Raises:
            DivergenceError: Not all of it is finite.
        """
        wrong = self._describe(checkpoint)
        if wrong:
            raise DivergenceError(
                f"the training has diverged: after step {checkpoint['global_step']}, not all of "
                f"{wrong} is finite. That is not saved; checkpoints of before are as they were. Go "
                "on from one of them with a smaller learning_rate, with gradient_clip_val, or with "
                "precision 32-true"
            )

    def check_resumed(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse to go on with a training that has diverged.

        Args:
            checkpoint: Its state dict has the names that the module has.

        Raises:
            CheckpointError: Not all of it is finite.
        """
        wrong = self._describe(checkpoint)
        if wrong:
            raise CheckpointError(
                f"the checkpoint is of a training that had diverged: not all of {wrong} is "
                "finite. Go on from an earlier one"
            )

    def _describe(self, checkpoint: Mapping[str, Any]) -> str:
        """Say which tensors are not finite but should be; nothing if none is."""
        callbacks = checkpoint.get("callbacks", {}).values()
        averaged = [each for each in callbacks if isinstance(each, Mapping)]
        states = [
            ("", checkpoint["state_dict"]),
            ("current ", checkpoint.get("current_model_state")),  # of a WeightAveraging callback
            *(("averaged ", each.get("average_model_state")) for each in averaged),
        ]
        tensors = {
            label + name: value
            for label, state in states
            for name, value in (state or {}).items()
            if name not in self._by_design
        }
        tensors.update(_nested("optimizer_states", checkpoint.get("optimizer_states")))
        names = not_finite(tensors)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more


def _nested(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield all that lies in dictionaries and lists, by its path."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _nested(f"{path}.{key}", each)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _nested(f"{path}.{index}", each)
    else:
        yield path, value
