"""Activation checkpointing that leaves BatchNorm's statistics alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Apply a layer, and compute it anew in the backward pass instead of keeping what it computed.

    Takes less memory and more time, and changes no result: PyTorch's checkpointing alone would let
    every batch into BatchNorm's running statistics twice.

    Args:
        layer: Function from a tensor to a tensor.
        inputs: What it is applied to.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_statistics(layer)

    outputs: Tensor = checkpoint(layer, inputs, use_reentrant=False, context_fn=contexts)
    return outputs


@contextmanager
def _without_statistics(layer: nn.Module) -> Iterator[None]:
    """Let BatchNorm write its running statistics into copies, which are then forgotten."""
    norms = [module for module in layer.modules() if isinstance(module, _BatchNorm)]
    kept = [dict(norm.named_buffers()) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
