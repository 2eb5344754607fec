"""What every video encoder of the library offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Encoder(nn.Module, ABC):
    """A network that turns clips into feature vectors.

    Args:
        feature_dim: Length of a feature vector.
        mean: Mean of each colour channel that is subtracted, for values in [0, 1].
        std: Deviation of each colour channel that is divided by.
        min_frames: Least number of frames of a clip.
        min_size: Least width and height of a clip in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        feature_dim: int,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        min_frames: int = 1,
        min_size: int = 1,
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.min_frames = min_frames
        self.min_size = min_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1, 1), persistent=False)

    @abstractmethod
    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x `feature_dim`)."""

    def forward(self, clip: Tensor) -> Tensor:
        """Turn clips into features.

        Args:
            clip: RGB, B x 3 x T x H x W; uint8, or floating point in [0, 1].

        Returns:
            Features, B x `feature_dim`.

        Raises:
            ValueError: The clip has another shape, or is too short or too small.
        """
        self._check(clip)
        return self.encode(self.normalize(clip))

    def normalize(self, clip: Tensor) -> Tensor:
        """Bring clips (uint8, or floating point in [0, 1]) to the mean and deviation expected."""
        if not clip.is_floating_point():
            clip = clip.to(self.mean.dtype) / 255
        return (clip - self.mean) / self.std

    def _check(self, clip: Tensor) -> None:
        if clip.dim() != 5 or clip.shape[1] != 3:
            raise ValueError(f"expected clips of shape B x 3 x T x H x W, got {tuple(clip.shape)}")
        _, _, frames, height, width = clip.shape
        if frames < self.min_frames or min(height, width) < self.min_size:
            raise ValueError(
                f"{type(self).__name__} takes clips of at least {self.min_frames} frames and "
                f"{self.min_size} x {self.min_size} pixels, got {frames} frames of "
                f"{height} x {width}"
            )
