"""Modules whose numbers must not be rounded to 16 bits."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

_HALF = (torch.float16, torch.bfloat16)


class FullPrecisionModule(nn.Module):
    """A module whose parameters and buffers stay as they are where its parent goes to 16 bits.

    ``parent.bfloat16()``, as mixed-precision plugins for "true" half precision call it, moves and
    casts every child; this one is moved, and cast to float32 or float64 only. An average at
    momentum 0.999 never moves in bfloat16, which has three digits.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def without_rounding(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            if result.dtype in _HALF and tensor.dtype not in _HALF:
                return tensor.to(device=result.device)
            return result

        super()._apply(without_rounding, recurse)  # type: ignore[no-untyped-call]
        return self


def without_half(tensor: Tensor) -> Tensor:
    """Return a tensor of 16 bits in float32, and any other as it is."""
    return tensor.float() if tensor.dtype in _HALF else tensor
