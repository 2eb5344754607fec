"""A video in, a verdict out, with a detector that was trained; needs no Lightning."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.inference.api import VideoDetector
    from deepfake_mtl.inference.options import DetectOptions
    from deepfake_mtl.inference.verdict import Verdict
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "options": ("DetectOptions",),
            "verdict": ("Verdict",),
            "api": ("VideoDetector",),
        },
    )

__all__ = ["DetectOptions", "Verdict", "VideoDetector"]
