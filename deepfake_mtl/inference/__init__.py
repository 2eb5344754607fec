"""A video in, a verdict out, with a detector that was trained; needs no Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepfake_mtl.inference.options import DetectOptions as DetectOptions
    from deepfake_mtl.inference.verdict import Verdict as Verdict
    from deepfake_mtl.inference.video_detector import VideoDetector as VideoDetector

# Imported on first use, since the process that only watches others does without PyTorch.
_MODULES = {
    "DetectOptions": "deepfake_mtl.inference.options",
    "Verdict": "deepfake_mtl.inference.verdict",
    "VideoDetector": "deepfake_mtl.inference.video_detector",
}

__all__ = ["DetectOptions", "Verdict", "VideoDetector"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
