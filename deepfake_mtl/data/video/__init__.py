"""A video in any form, and its frames: ``(path, start, length, stride)`` -> uint8 RGB.

Needs PyAV, OpenCV and NumPy only.
"""

from deepfake_mtl.data.video.container import open_video
from deepfake_mtl.data.video.frames import Frame
from deepfake_mtl.data.video.sources import (
    VideoSource,
    iterate_frames,
    open_source,
    probe,
    read_clip,
)
from deepfake_mtl.data.video_info import VideoInfo

__all__ = [
    "Frame",
    "VideoInfo",
    "VideoSource",
    "iterate_frames",
    "open_source",
    "open_video",
    "probe",
    "read_clip",
]
