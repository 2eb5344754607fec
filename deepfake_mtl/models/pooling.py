"""Max-pooling of clips whose gradient is deterministic where that is asked for."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.torch_version import TorchVersion

_REFUSES: Final = TorchVersion(torch.__version__) < "2.15"
"""Whether this PyTorch has no deterministic gradient of MaxPool3d on CUDA."""


class DeterministicMaxPool3d(nn.MaxPool3d):
    """A MaxPool3d that can be trained on CUDA under `torch.use_deterministic_algorithms`.

    Before PyTorch 2.15 its gradient raises there. Then the maxima are gathered from their places:
    the same values, and a gradient that is deterministic, for more time and memory.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Take the largest values of B x C x T x H x W."""
        if not _is_refused(input):
            pooled: Tensor = super().forward(input)
            return pooled
        _, places = functional.max_pool3d(
            input.detach(),
            *(self.kernel_size, self.stride, self.padding, self.dilation),
            ceil_mode=self.ceil_mode,
            return_indices=True,
        )
        return input.flatten(2).gather(2, places.flatten(2)).view(places.shape)


def use_deterministic_pools(network: nn.Module) -> None:
    """Turn every MaxPool3d of a network into a `DeterministicMaxPool3d`, in place."""
    for module in network.modules():
        if isinstance(module, nn.MaxPool3d):
            module.__class__ = DeterministicMaxPool3d


def _is_refused(inputs: Tensor) -> bool:
    asked = torch.are_deterministic_algorithms_enabled() and inputs.requires_grad
    return _REFUSES and asked and inputs.is_cuda
