"""A video in, a verdict out, with a detector that was trained; needs no Lightning."""

from deepfake_mtl.inference.verdict import Verdict
from deepfake_mtl.inference.video_detector import DetectOptions, VideoDetector

__all__ = ["DetectOptions", "Verdict", "VideoDetector"]
