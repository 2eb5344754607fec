"""Whether a model is worth a checkpoint: weights that are not finite never get better."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

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


def infinite_buffers(module: nn.Module) -> frozenset[str]:
    """Return the names of buffers that are not finite by design, such as masks of attention."""
    return frozenset(not_finite(dict(module.named_buffers())))


def describe_not_finite(state: Mapping[str, object], by_design: Collection[str]) -> str:
    """Say which tensors of a state dict are not finite but should be; nothing if none is."""
    names = [name for name in not_finite(state) if name not in by_design]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
