"""The S3D video encoder."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, get_args

import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNet_Weights
from torchvision.models.video import S3D_Weights, s3d

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.coclr import coclr_adapter
from deepfake_mtl.models.convolution import use_temporal_convolutions
from deepfake_mtl.models.encoder import Encoder
from deepfake_mtl.models.flat import Operators, use_flat_operators
from deepfake_mtl.models.inflation import identity_norm, identity_over_time, one_frame
from deepfake_mtl.models.pooling import use_deterministic_pools
from deepfake_mtl.models.recomputation import recomputed
from deepfake_mtl.models.weights import (
    OTHER_CLASSIFIER,
    AdaptedStateDict,
    NormSettings,
    Pretrained,
    StateDictAdapter,
    adapt,
    torchvision_adapter,
)

# GoogLeNet's stage -> index in S3D's features. The channels are the same in all of them.
_GOOGLENET_STAGES: Final = {
    "conv1": 0,
    "conv2": 2,
    "conv3": 3,
    "inception3a": 5,
    "inception3b": 6,
    "inception4a": 8,
    "inception4b": 9,
    "inception4c": 10,
    "inception4d": 11,
    "inception4e": 12,
    "inception5a": 14,
    "inception5b": 15,
}
_GOOGLENET_LAYERS: Final = {
    "branch1": "branch0",
    "branch2.0": "branch1.0",
    "branch2.1": "branch1.1",
    "branch3.0": "branch2.0",
    "branch3.1": "branch2.1",
    "branch4.1": "branch3.1",
}
# First and last index in S3D's features.
_STAGES: Final = {"stem": (0, 4), "mixed_3": (5, 7), "mixed_4": (8, 13), "mixed_5": (14, 15)}
# torchvision's GoogLeNet came from TensorFlow: it takes values in [-1, 1], to which its
# `transform_input` brings what ImageNet's mean and deviation have been applied to.
_GOOGLENET: Final = NormSettings(
    mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), norm_eps=1e-3, norm_momentum=0.1
)
_TORCHVISION: Final = torchvision_adapter(
    NormSettings.of_torchvision(S3D_Weights.KINETICS400_V1, norm_eps=1e-3, norm_momentum=1e-3),
    heads=("classifier.",),
)


def googlenet_adapter(state: Mapping[str, object]) -> AdaptedStateDict:
    """Inflate torchvision's GoogLeNet for `S3D`.

    S3D is GoogLeNet with each k x k convolution followed by one of k frames, both with BatchNorm
    and ReLU; torchvision's GoogLeNet has the same channels throughout, and 3 x 3 kernels where the
    paper has 5 x 5, as S3D does. The spatial convolutions and their BatchNorm take GoogLeNet's
    values; the temporal ones start as the identity (see `identity_norm`). So the encoder starts as
    GoogLeNet on every frame, but for the three 3 x 3 max-pools of stride 2, which are padded
    by one pixel in S3D and by none in GoogLeNet.
    """
    adapted = adapt(
        state,
        _GOOGLENET,
        _inflated_name,
        convert=lambda tensor: one_frame(tensor) if tensor.dim() == 4 else tensor,
        skipped=[(r"(fc|aux1|aux2)\.", OTHER_CLASSIFIER)],
        otherwise="unknown to torchvision's GoogLeNet",
    )
    _start_temporal_layers(adapted)
    return adapted


def _inflated_name(name: str) -> str | None:
    stage, _, rest = name.partition(".")
    layer, _, tensor = rest.rpartition(".")
    layer, _, kind = layer.rpartition(".")
    if stage not in _GOOGLENET_STAGES or kind not in ("conv", "bn"):
        return None
    parts = ["features", str(_GOOGLENET_STAGES[stage])]
    if layer:
        if layer not in _GOOGLENET_LAYERS:
            return None
        parts.append(_GOOGLENET_LAYERS[layer])
    if stage in ("conv1", "conv3") or layer in ("branch2.1", "branch3.1"):
        parts.append("0")  # the spatial half; the temporal one is 1
    return ".".join([*parts, "0" if kind == "conv" else "1", tensor])


def _start_temporal_layers(adapted: AdaptedStateDict) -> None:
    how = "as the identity over time"
    spatial = [
        (name.removesuffix("0.0.weight"), tensor)
        for name, tensor in adapted.tensors.items()
        if tensor.dim() == 5 and tensor.shape[-1] > 1
    ]
    for place, kernel in spatial:
        adapted.make(
            f"{place}1.0.weight", identity_over_time(kernel.shape[0], kernel.shape[-1]), how
        )
        weight = adapted.tensors.get(f"{place}0.1.weight")
        bias = adapted.tensors.get(f"{place}0.1.bias")
        if weight is None or bias is None:
            continue
        norm = identity_norm(weight, bias, eps=_GOOGLENET.norm_eps or 0.0)
        for name, tensor in norm.items():
            adapted.make(f"{place}1.1.{name}", tensor, how)


def _add_identity(network: nn.Module) -> None:
    """Add the identity to every convolution over time that keeps the number of channels."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[1:] == (1, 1):
            length = module.kernel_size[0]
            if length > 1 and module.in_channels == module.out_channels:
                with torch.no_grad():
                    module.weight += identity_over_time(module.out_channels, length)


class S3D(Encoder):
    """S3D (Xie et al., ECCV 2018, arXiv 1712.04851) on torchvision's layers, as an encoder.

    Features are the mean of the last layer's activations over time and space (B x 1024), for clips
    of any length from 8 frames and any size from 32 pixels.

    Args:
        weights: ``none``; ``kinetics400``, torchvision's; ``imagenet``, torchvision's GoogLeNet
            inflated (see `googlenet_adapter`); or the path of a checkpoint of the CoCLR code (Han
            et al., NeurIPS 2020, arXiv 2010.09709), of torchvision's S3D or of this library.
        strict: Whether a checkpoint must hold every tensor of the encoder.
        norm_eps: Epsilon of BatchNorm. None follows the weights' origin: 1e-5 without weights and
            for CoCLR's, 1e-3 for torchvision's and GoogLeNet's, for a checkpoint of this library
            what it was trained with.
        norm_momentum: Share of each batch in BatchNorm's running statistics. None follows the
            origin: 0.001 for torchvision's, with which a run of a thousand steps is evaluated with
            statistics that lag far behind; else 0.1, or what a checkpoint was trained with.
        norm_bias: Value that the bias of every BatchNorm starts from; weights that are loaded
            replace it. At 1, most ReLUs pass most values at first, and a short run from scratch
            learns in hundreds of steps what takes thousands at 0.
        temporal_identity: Whether convolutions over time start as the identity plus their random
            values; weights that are loaded replace it. What the convolutions over space find then
            reaches the head from the first step on, and a short run from scratch learns where it
            may stay at chance otherwise.
        channels_last: Compute in the memory layout that is about twice as fast on CPUs and that
            GPUs prefer. Changes no result beyond rounding.
        recompute_activations: In training, keep the activations between the layers only, and
            compute the others anew in the backward pass: less memory for more time, and the same
            result.
        operators: What the layers compute with: ``volume``, PyTorch's operators of five dimensions;
            ``flat_norms``, BatchNorm on views of four dimensions, for which CUDA has more kernels;
            ``flat``, convolutions and pools as well; or ``flat_padded``, with a fourth, empty
            channel of the input, too. All but the first need `channels_last` and are slower on
            CPUs; none changes results beyond rounding.

    Raises:
        ConfigurationError: A number is out of range, or flat operators lack `channels_last`.
        CheckpointError: The weights cannot be had, or do not fit; see `Encoder.start_from`.
    """

    pretrained: ClassVar[Mapping[str, Pretrained]] = {
        "kinetics400": Pretrained(S3D_Weights.KINETICS400_V1.url, _TORCHVISION),
        "imagenet": Pretrained(GoogLeNet_Weights.IMAGENET1K_V1.url, googlenet_adapter),
    }
    adapters: ClassVar[Sequence[StateDictAdapter]] = (coclr_adapter, _TORCHVISION)

    def __init__(
        self,
        weights: str = "none",
        strict: bool = True,
        norm_eps: float | None = None,
        norm_momentum: float | None = None,
        norm_bias: float = 0.0,
        temporal_identity: bool = False,
        channels_last: bool = True,
        recompute_activations: bool = False,
        operators: Operators = "volume",
    ) -> None:
        super().__init__(1024, min_frames=8, min_size=32)
        if operators not in get_args(Operators) or (operators != "volume" and not channels_last):
            raise ConfigurationError(
                f"operators is {operators!r}: choose among {', '.join(get_args(Operators))}, of "
                "which all but the first need channels_last"
            )
        self.features: nn.Sequential = s3d(weights=None).features
        use_temporal_convolutions(self.features)
        use_deterministic_pools(self.features)
        use_flat_operators(self.features, operators)
        for module in self.features.modules():
            if isinstance(module, nn.BatchNorm3d):
                nn.init.constant_(module.bias, norm_bias)
        if temporal_identity:
            _add_identity(self.features)
        self._recompute_activations = recompute_activations
        self._memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.features.to(memory_format=self._memory_format)
        self.start_from(weights, strict=strict, norm_eps=norm_eps, norm_momentum=norm_momentum)

    def stages(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by stage: those between which the resolution is halved."""
        return {
            name: list(self.features[first : last + 1].parameters())
            for name, (first, last) in _STAGES.items()
        }

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (PyTorch's)
        """Compile the encoder in place; see `Encoder.compile`.

        Raises:
            ConfigurationError: Activations are recomputed, which PyTorch's compiler does not trace.
        """
        if self._recompute_activations:
            raise ConfigurationError(
                "`recompute_activations` is set, but an encoder that recomputes its activations "
                "cannot be compiled: set it or `compile_encoder`, not both"
            )
        super().compile(*args, **kwargs)

    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x 1024)."""
        activations: Tensor = clip.contiguous(memory_format=self._memory_format)
        recompute = self._recompute_activations and torch.is_grad_enabled()
        for layer in self.features:
            activations = recomputed(layer, activations) if recompute else layer(activations)
        return activations.mean(dim=(2, 3, 4))
