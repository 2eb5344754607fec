"""Writing and reading the videos of a synthetic world, the same bytes for the same frames."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import av
import av.video.reformatter
import numpy as np

from deepfake_mtl.synthetic.config import FRAMES_PER_SECOND
from deepfake_mtl.synthetic.painting import Image
from deepfake_mtl.util.files import whole_path

KEY_FRAME_INTERVAL: Final = 250
"""Frames between key frames, as in FaceForensics++ (the default of libx264)."""


def write_video(
    path: Path, frames: Iterable[Image], rate_factor: int, preset: str = "medium"
) -> None:
    """Write frames as an MP4 file, whole or not at all.

    Args:
        path: Where to write; its folder exists.
        frames: RGB pictures of one size.
        rate_factor: The constant rate factor of libx264; 0 keeps every value of Y, U and V.
        preset: Speed preset of libx264.
    """
    with whole_path(path) as partial, partial.open("wb") as file:
        _encode(file, frames, rate_factor, preset, "yuv444p")


def through_codec(frames: Iterable[Image], rate_factor: int) -> list[Image]:
    """Return what is left of frames after one generation of H.264 with 4:2:0 colour."""
    buffer = io.BytesIO()
    _encode(buffer, frames, rate_factor, "veryfast", "yuv420p")
    buffer.seek(0)
    return read_video(buffer)


def _encode(
    target: BinaryIO, frames: Iterable[Image], rate_factor: int, preset: str, pixel_format: str
) -> None:
    reformatter = av.video.reformatter.VideoReformatter()
    # Bit-exact containers carry no version and no time of writing.
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "libx264",
            rate=FRAMES_PER_SECOND,
            options={
                "crf": str(rate_factor),
                "preset": preset,
                "g": str(KEY_FRAME_INTERVAL),
                # Without it the lookahead takes approximate reciprocals, and about one video in a
                # hundred differs from run to run.
                "x264-params": "cpu-independent=1",
            },
        )
        stream.pix_fmt = pixel_format
        # One thread: the bytes must not depend on the machine's number of cores.
        stream.codec_context.thread_count = 1
        for pixels in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = pixels.shape[:2]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(reformatter.reformat(picture, format=pixel_format)))
        container.mux(stream.encode())


def read_video(source: Path | io.BytesIO) -> list[Image]:
    """Return all frames of a video as RGB pictures."""
    reformatter = av.video.reformatter.VideoReformatter()
    with av.open(str(source) if isinstance(source, Path) else source, "r") as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [
            np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
            for frame in container.decode(video=0)
        ]
