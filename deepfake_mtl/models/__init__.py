"""Networks, for any PyTorch program: this package needs torch and torchvision only."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.models.encoder import Encoder
    from deepfake_mtl.models.folding import fold_batch_norm
    from deepfake_mtl.models.heads import MLPHead
    from deepfake_mtl.models.load_report import LoadReport
    from deepfake_mtl.models.momentum import (
        MomentumEncoder,
        check_batch_norm_remedy,
        shuffled_forward,
    )
    from deepfake_mtl.models.mvit import MViTv2S
    from deepfake_mtl.models.queue import KeyQueue
    from deepfake_mtl.models.s3d import S3D
    from deepfake_mtl.models.video_resnet import R3D18, R2Plus1D18
    from deepfake_mtl.models.weights import without_pretrained
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "R3D18",
    "S3D",
    "Encoder",
    "KeyQueue",
    "LoadReport",
    "MLPHead",
    "MViTv2S",
    "MomentumEncoder",
    "R2Plus1D18",
    "check_batch_norm_remedy",
    "fold_batch_norm",
    "shuffled_forward",
    "without_pretrained",
]
