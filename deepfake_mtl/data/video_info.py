"""What is known about a video before it is decoded, and which of its frames make a clip."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfake_mtl.errors import ConfigurationError

VIDEO_SUFFIXES: Final = frozenset(
    f".{ending}"
    for ending in (
        "3g2", "3gp", "asf", "avi", "dv", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg",
        "mpg", "mts", "mxf", "nut", "ogg", "ogv", "ts", "vob", "webm", "wmv",
    )
)  # fmt: skip
"""Suffixes of the video files that are looked at in folders, in lower case."""

IMAGE_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg"))
"""Suffixes of frames that are stored as images, likewise."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known about a video before it is decoded.

    Attributes:
        frames: Number of frames that are shown.
        width: Width in pixels, as coded: before pixels are made square, and before a rotation.
        height: Height in pixels, likewise.
        fps: Frames a second on average; nan where it is unknown, as for a folder of frames.
        codec: Codec of the pictures as FFmpeg names it; ``png`` or ``jpeg`` for a folder of frames;
            empty where it is unknown.
    """

    frames: int
    width: int
    height: int
    fps: float
    codec: str = ""


def frames_of_clip(path: Path, start: int, length: int, stride: int, frames: int) -> range:
    """Return the numbers of the frames of a clip.

    Args:
        path: The video, for the message.
        start: First frame, counted from 0.
        length: Number of frames.
        stride: Distance between neighbouring frames of the clip.
        frames: Number of frames of the video.

    Raises:
        ConfigurationError: There is no such clip in any video, or it reaches beyond the end.
    """
    if start < 0 or length < 1 or stride < 1:
        raise ConfigurationError(
            f"{path}: a clip needs start >= 0, length >= 1 and stride >= 1, "
            f"not start={start}, length={length}, stride={stride}"
        )
    last = start + (length - 1) * stride
    if last >= frames:
        raise ConfigurationError(
            f"{path}: frames {start} to {last}, counted from 0, were asked for, but it has "
            f"{frames} frames; choose an earlier start, or a smaller length or stride"
        )
    return range(start, last + 1, stride)
