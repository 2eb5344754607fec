"""Networks, for any PyTorch program: this package needs torch and torchvision only."""

from deepfake_mtl.models.encoder import Encoder
from deepfake_mtl.models.heads import MLPHead
from deepfake_mtl.models.s3d import S3D

__all__ = ["S3D", "Encoder", "MLPHead"]
