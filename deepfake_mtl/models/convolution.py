"""Convolutions over time that are right for short clips too."""

import torch
from torch import Tensor, nn


class TemporalConv3d(nn.Conv3d):
    """A Conv3d that does not trust bfloat16 where the clip is shorter than the kernel.

    On the CPU, the gradient of the weights is then garbage, often not even finite (seen with torch
    2.15 for kernels of 3 on two frames, as S3D's last stage has them for clips of 16 frames; wide
    enough inputs are fine). Such a layer is small, so float32 costs little.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Convolve B x C x T x H x W."""
        short = input.shape[2] < self.kernel_size[0]
        if short and input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


def use_temporal_convolutions(network: nn.Module) -> None:
    """Turn every Conv3d over time of a network into a `TemporalConv3d`, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            module.__class__ = TemporalConv3d
