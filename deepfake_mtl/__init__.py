"""Deepfake detection that generalises to unseen manipulations, for PyTorch Lightning.

The public names of this package and of those in it are imported on first use, so that
``from deepfake_mtl.models import S3D`` needs no more than torch and torchvision.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.data.datamodule import DeepfakeDataModule
    from deepfake_mtl.detector import Detector
    from deepfake_mtl.errors import DeepfakeMTLError
    from deepfake_mtl.inference.api import VideoDetector
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["DeepfakeDataModule", "DeepfakeMTLError", "Detector", "VideoDetector", "__version__"]

try:
    __version__ = version("deepfake-mtl")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
