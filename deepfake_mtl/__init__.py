"""Deepfake detection that generalises to unseen manipulations, for PyTorch Lightning.

The public names are imported on first use, so that ``import deepfake_mtl.models`` needs no more
than torch and torchvision.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepfake_mtl.data.datamodule import DeepfakeDataModule as DeepfakeDataModule
    from deepfake_mtl.detector import Detector as Detector
    from deepfake_mtl.errors import DeepfakeMTLError as DeepfakeMTLError
    from deepfake_mtl.inference.video_detector import VideoDetector as VideoDetector

_MODULES = {
    "DeepfakeDataModule": "deepfake_mtl.data.datamodule",
    "DeepfakeMTLError": "deepfake_mtl.errors",
    "Detector": "deepfake_mtl.detector",
    "VideoDetector": "deepfake_mtl.inference.video_detector",
}

__all__ = ["DeepfakeDataModule", "DeepfakeMTLError", "Detector", "VideoDetector", "__version__"]

try:
    __version__ = version("deepfake-mtl")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
