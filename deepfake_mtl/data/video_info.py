"""What is known about a video before it is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known about a video before it is decoded.

    Attributes:
        frames: Number of frames that are shown.
        width: Width in pixels, as coded: before a rotation that the container asks for.
        height: Height in pixels, likewise.
        fps: Frames a second on average; nan where it is unknown, as for a folder of frames.
    """

    frames: int
    width: int
    height: int
    fps: float
