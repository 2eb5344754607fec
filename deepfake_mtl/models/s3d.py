"""The S3D video encoder."""

import torch
from torch import Tensor, nn
from torchvision.models.video import s3d

from deepfake_mtl.models.encoder import Encoder


class S3D(Encoder):
    """S3D (Xie et al., ECCV 2018, arXiv 1712.04851) on torchvision's layers, as an encoder.

    Features are the mean of the last layer's activations over time and space, for clips of any
    length from 8 frames and any size from 32 pixels.

    Args:
        norm_eps: Epsilon of BatchNorm. 1e-5 is PyTorch's default and CoCLR's; torchvision's
            Kinetics-400 weights were trained with 1e-3.
        norm_momentum: Share of each batch in BatchNorm's running statistics. At torchvision's
            0.001 a run of a thousand steps is evaluated with statistics that lag far behind.
        channels_last: Compute in the memory layout that is about twice as fast on CPUs and that
            GPUs prefer. Changes no result beyond rounding.
    """

    def __init__(
        self, norm_eps: float = 1e-5, norm_momentum: float = 0.1, channels_last: bool = True
    ) -> None:
        super().__init__(1024, min_frames=8, min_size=32)
        self.features: nn.Sequential = s3d(weights=None).features
        for module in self.features.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = norm_eps
                module.momentum = norm_momentum
        self._memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.features.to(memory_format=self._memory_format)

    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x 1024)."""
        activations: Tensor = self.features(clip.contiguous(memory_format=self._memory_format))
        return activations.mean(dim=(2, 3, 4))
