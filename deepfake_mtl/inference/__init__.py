"""A video in, a verdict out, with a detector that was trained; needs no Lightning."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.inference.options import DetectOptions
    from deepfake_mtl.inference.verdict import Verdict
    from deepfake_mtl.inference.video_detector import VideoDetector
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "options": ("DetectOptions",),
            "verdict": ("Verdict",),
            "video_detector": ("VideoDetector",),
        },
    )

__all__ = ["DetectOptions", "Verdict", "VideoDetector"]
