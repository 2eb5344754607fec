"""The MViTv2-S video encoder."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from torch import Tensor, nn
from torchvision.models.video import MViT_V2_S_Weights, mvit_v2_s

from deepfake_mtl.models.encoder import Encoder
from deepfake_mtl.models.pooling import use_deterministic_pools
from deepfake_mtl.models.weights import (
    NormSettings,
    Pretrained,
    StateDictAdapter,
    torchvision_adapter,
)

_TORCHVISION: Final = torchvision_adapter(
    NormSettings.of_torchvision(
        MViT_V2_S_Weights.KINETICS400_V1, norm_eps=None, norm_momentum=None
    ),
    prefix="features.",
    heads=("head.",),
)


class MViTv2S(Encoder):
    """MViTv2-S (Li et al., CVPR 2022, arXiv 2112.01526) of torchvision as an encoder.

    Features are the class token after the last block (B x 768), for clips of any length from 4
    frames and any size from 32 pixels. torchvision builds the network for 16 frames of 224 x 224;
    its positions are relative, in tables of distances along each axis. For other clips the tables
    are interpolated linearly to the distances that occur, as in the authors' code, so that a table
    learnt on 224 pixels is stretched over the picture, however many pixels that has. At 16 x 224 x
    224 nothing is interpolated.

    The network has no BatchNorm, hence no settings of it.

    Args:
        weights: ``none``; ``kinetics400``, torchvision's; or the path of a checkpoint of
            torchvision's mvit_v2_s or of this library.
        strict: Whether a checkpoint must hold every tensor of the encoder.
        drop_path: Probability, at the last block, of dropping a residual branch in training; rises
            linearly from zero at the first.

    Raises:
        ConfigurationError: The weights are ``imagenet``.
        CheckpointError: The weights cannot be had, or do not fit; see `Encoder.start_from`.
    """

    pretrained: ClassVar[Mapping[str, Pretrained]] = {
        "kinetics400": Pretrained(MViT_V2_S_Weights.KINETICS400_V1.url, _TORCHVISION)
    }
    adapters: ClassVar[Sequence[StateDictAdapter]] = (_TORCHVISION,)

    def __init__(self, weights: str = "none", strict: bool = True, drop_path: float = 0.2) -> None:
        super().__init__(768, min_frames=4, min_size=32)
        self.features = mvit_v2_s(weights=None, stochastic_depth_prob=drop_path)
        self.features.head = nn.Identity()
        use_deterministic_pools(self.features)
        self.start_from(weights, strict=strict)

    def stages(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by stage: patches, then blocks of one width, the norm last."""
        network = self.features
        stages = {"patches": [*network.conv_proj.parameters(), *network.pos_encoding.parameters()]}
        for block in network.blocks:
            name = f"width_{block.norm1.normalized_shape[0]}"
            stages.setdefault(name, []).extend(block.parameters())
        stages[name].extend(network.norm.parameters())
        return stages

    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x 768)."""
        patches = self.features.conv_proj(clip)
        grid = tuple(patches.shape[2:])
        # torchvision's own `forward` takes the grid from its constructor, not from the clip.
        tokens = self.features.pos_encoding(patches.flatten(2).transpose(1, 2))
        for block in self.features.blocks:
            tokens, grid = block(tokens, grid)
        features: Tensor = self.features.norm(tokens)[:, 0]
        return features
