"""Pools that compute otherwise, against PyTorch's."""

import torch
from torch import Tensor, nn


def assert_same_pool(
    pool: nn.MaxPool3d, other: type[nn.MaxPool3d], clip: Tensor, layout: torch.memory_format
) -> None:
    """Compare outputs and gradients of a clip to the last bit."""
    ends = []
    for kind in (nn.MaxPool3d, other):
        pool.__class__ = kind
        inputs = clip.contiguous(memory_format=layout).requires_grad_()
        outputs = pool(inputs)
        weights = torch.arange(outputs.numel()).view(outputs.shape).double()
        (outputs * weights).sum().backward()
        ends.append((outputs, inputs.grad))
    assert torch.equal(ends[0][0], ends[1][0])
    assert torch.equal(ends[0][1], ends[1][1])
