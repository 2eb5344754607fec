"""The residual video encoders R3D-18 and R(2+1)D-18 (Tran et al., CVPR 2018, arXiv 1711.11248)."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights
from torchvision.models.video import R2Plus1D_18_Weights, R3D_18_Weights, r2plus1d_18, r3d_18

from deepfake_mtl.models.convolution import use_temporal_convolutions
from deepfake_mtl.models.encoder import Encoder
from deepfake_mtl.models.inflation import one_frame, repeat_over_time
from deepfake_mtl.models.weights import (
    OTHER_CLASSIFIER,
    AdaptedStateDict,
    NormSettings,
    Pretrained,
    StateDictAdapter,
    adapt,
    torchvision_adapter,
)

_STAGES: Final = ("stem", "layer1", "layer2", "layer3", "layer4")
_R3D: Final = torchvision_adapter(
    NormSettings.of_torchvision(R3D_18_Weights.KINETICS400_V1), prefix="features.", heads=("fc.",)
)
_R2PLUS1D: Final = torchvision_adapter(
    NormSettings.of_torchvision(R2Plus1D_18_Weights.KINETICS400_V1),
    prefix="features.",
    heads=("fc.",),
)
_RESNET18: Final = NormSettings.of_torchvision(ResNet18_Weights.IMAGENET1K_V1)


def resnet18_adapter(state: Mapping[str, object]) -> AdaptedStateDict:
    """Inflate torchvision's ResNet-18 for `R3D18` (Carreira & Zisserman, CVPR 2017).

    Kernels of k frames are repeated k times and divided by k; BatchNorm and the 1 x 1 convolutions
    are taken as they are. All layers fit. On a clip that stands still each convolution gives what
    ResNet-18's gives, except at the first and last frames, where it meets padding. The networks as
    wholes differ: R3D-18 has no max-pool after its first layer, and halves time in three stages.
    """

    def inflate(tensor: Tensor) -> Tensor:
        if tensor.dim() != 4:
            return tensor
        return one_frame(tensor) if tensor.shape[-1] == 1 else repeat_over_time(tensor, 3)

    return adapt(
        state,
        _RESNET18,
        _inflated_name,
        convert=inflate,
        skipped=[(r"fc\.", OTHER_CLASSIFIER)],
        otherwise="unknown to torchvision's ResNet-18",
    )


def _inflated_name(name: str) -> str | None:
    *layer, kind, tensor = name.split(".") if name.count(".") else ("", "", "")
    if not layer and kind in ("conv1", "bn1"):
        parts = ["stem", "0" if kind == "conv1" else "1"]
    elif layer and layer[0] in _STAGES and kind in ("conv1", "conv2"):
        parts = [*layer, kind, "0"]
    elif layer and layer[0] in _STAGES and kind in ("bn1", "bn2"):
        parts = [*layer, kind.replace("bn", "conv"), "1"]
    elif layer and layer[-1] == "downsample":
        parts = [*layer, kind]
    else:
        return None
    return ".".join(["features", *parts, tensor])


class _VideoResNet(Encoder):
    """torchvision's residual video networks without their classifiers.

    Args:
        weights: See `R3D18`; likewise the rest.
        strict: Whether a checkpoint must hold every tensor; see `Encoder.start_from`.
        norm_eps: Epsilon of BatchNorm; likewise.
        norm_momentum: Momentum of BatchNorm; likewise.
        channels_last: Whether weights and clips take the faster memory layout.

    Attributes:
        network: Makes the network, whose stages are taken over.
    """

    network: ClassVar[Callable[..., nn.Module]]

    def __init__(
        self,
        weights: str = "none",
        strict: bool = True,
        norm_eps: float | None = None,
        norm_momentum: float | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__(512, min_frames=8, min_size=16)
        stages = dict(type(self).network(weights=None).named_children())
        self.features = nn.Sequential()
        for name in _STAGES:
            self.features.add_module(name, stages[name])
        use_temporal_convolutions(self.features)
        self._memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.features.to(memory_format=self._memory_format)
        self.start_from(weights, strict=strict, norm_eps=norm_eps, norm_momentum=norm_momentum)

    def stages(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by torchvision's stages."""
        return {name: list(stage.parameters()) for name, stage in self.features.named_children()}

    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x 512)."""
        activations: Tensor = self.features(clip.contiguous(memory_format=self._memory_format))
        return activations.mean(dim=(2, 3, 4))


class R3D18(_VideoResNet):
    """R3D-18 of torchvision as an encoder: a ResNet-18 whose convolutions span three frames.

    Features are the mean of the last layer's activations over time and space (B x 512), for clips
    of any length from 8 frames and any size from 16 pixels. The Kinetics-400 weights were trained
    on clips of 16 frames at 15 frames a second, of 112 x 112 pixels.

    Args:
        weights: ``none``; ``kinetics400``, torchvision's; ``imagenet``, torchvision's ResNet-18
            inflated (see `resnet18_adapter`); or the path of a checkpoint of torchvision's r3d_18
            or of this library.
        strict: Whether a checkpoint must hold every tensor of the encoder.
        norm_eps: Epsilon of BatchNorm; None follows the weights' origin (1e-5 in all but
            checkpoints of this library, which bring their own).
        norm_momentum: Share of each batch in BatchNorm's running statistics; None likewise (0.1).
        channels_last: Compute in the memory layout that GPUs prefer. Changes no result beyond
            rounding.

    Raises:
        ConfigurationError: A number is out of range.
        CheckpointError: The weights cannot be had, or do not fit; see `Encoder.start_from`.
    """

    network = staticmethod(r3d_18)
    pretrained: ClassVar[Mapping[str, Pretrained]] = {
        "kinetics400": Pretrained(R3D_18_Weights.KINETICS400_V1.url, _R3D),
        "imagenet": Pretrained(ResNet18_Weights.IMAGENET1K_V1.url, resnet18_adapter),
    }
    adapters: ClassVar[Sequence[StateDictAdapter]] = (_R3D,)


class R2Plus1D18(_VideoResNet):
    """R(2+1)D-18 of torchvision as an encoder: each convolution in space, then one in time.

    Features are the mean of the last layer's activations over time and space (B x 512), for clips
    of any length from 8 frames and any size from 16 pixels. The Kinetics-400 weights were trained
    on clips of 16 frames at 15 frames a second, of 112 x 112 pixels. No network for images has the
    widths of its spatial convolutions (45, 144, 230 and so on), so nothing can be inflated for it.

    Args:
        weights: ``none``; ``kinetics400``, torchvision's; or the path of a checkpoint of
            torchvision's r2plus1d_18 or of this library.
        strict: Whether a checkpoint must hold every tensor of the encoder.
        norm_eps: Epsilon of BatchNorm; None follows the weights' origin (1e-5 in all but
            checkpoints of this library, which bring their own).
        norm_momentum: Share of each batch in BatchNorm's running statistics; None likewise (0.1).
        channels_last: Compute in the memory layout that GPUs prefer. Changes no result beyond
            rounding.

    Raises:
        ConfigurationError: A number is out of range, or the weights are ``imagenet``.
        CheckpointError: The weights cannot be had, or do not fit; see `Encoder.start_from`.
    """

    network = staticmethod(r2plus1d_18)
    pretrained: ClassVar[Mapping[str, Pretrained]] = {
        "kinetics400": Pretrained(R2Plus1D_18_Weights.KINETICS400_V1.url, _R2PLUS1D)
    }
    adapters: ClassVar[Sequence[StateDictAdapter]] = (_R2PLUS1D,)
