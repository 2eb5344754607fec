"""A video file that nobody vouches for: what it says it is, or why it cannot be judged."""

import math
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfake_mtl.data.video import Frame, iterate_frames, open_video, probe
from deepfake_mtl.data.video.geometry import pixel_aspect
from deepfake_mtl.errors import VideoError
from deepfake_mtl.inference.options import Limits
from deepfake_mtl.util.files import sha256_of

_OTHERS: Final = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a playlist",
    b"<?xml": "a text",
    b"<MPD": "a playlist",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
}


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a file says about itself.

    Attributes:
        path: Absolute path of the file.
        bytes: Size of the file in bytes.
        modified_ns: When it was last changed, in nanoseconds.
        sha256: Digest of its content.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the pixel format; None where the file does not say.
        width: Width of a frame in pixels, as coded.
        height: Height of a frame in pixels, as coded.
        frames: Number of frames in the file.
        fps: Number of frames a second on average; None where the file does not say.
        seconds: Length in seconds; None where the file does not say.
        bits_per_pixel: Size of the file over the pixels of all frames.
    """

    path: str
    bytes: int
    modified_ns: int
    sha256: str
    container: str
    codec: str
    pixel_format: str | None
    width: int
    height: int
    frames: int
    fps: float | None
    seconds: float | None
    bits_per_pixel: float


def inspect(path: Path, limits: Limits, alive: Callable[[], None] = lambda: None) -> VideoFacts:
    """Look at a video, without decoding it where its packets tell how many frames it has.

    Args:
        path: Path of a file, by whatever name.
        limits: Bounds beyond which a video is refused.
        alive: Called now and then.

    Raises:
        VideoError: It is no regular file, no video, is cut short, or beyond the limits.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path}: cannot be opened ({reason}); check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: is no regular file; name a video file")
    _refuse_others(path)
    with open_video(path, limits.pixels) as (container, stream):
        context = stream.codec_context
        width, height = context.width, context.height
        if 0 in (width, height):  # as FFmpeg leaves what is beyond the limit
            raise VideoError(
                f"{path}: has no frames, or larger ones than {limits.max_megapixels:g} megapixels: "
                "raise `max_megapixels` if memory allows"
            )
        shown = max(width, round(width * pixel_aspect(stream))) * height
        if shown > limits.pixels:
            raise VideoError(
                f"{path}: has frames of {width}x{height} pixels, {shown / 1e6:.0f} "
                f"megapixels as shown; at most {limits.max_megapixels:g} are decoded: raise "
                "`max_megapixels` if memory allows"
            )
        container_name, codec, pixels = container.format.name, context.name, context.pix_fmt
    info = probe(path, limits.pixels, alive)
    fps = info.fps if math.isfinite(info.fps) and info.fps > 0 else None
    seconds = None if fps is None else info.frames / fps
    if (seconds or info.frames / 25) > 3600 * limits.max_hours:
        raise VideoError(
            f"{path}: has {info.frames} frames, {(seconds or info.frames / 25) / 3600:.1f} hours; "
            f"at most {limits.max_hours:g} are judged: raise `max_hours`, or cut it"
        )
    return VideoFacts(
        path=str(path.absolute()),
        bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        sha256=sha256_of(path, alive),
        container=container_name,
        codec=codec,
        pixel_format=pixels,
        width=info.width,
        height=info.height,
        frames=info.frames,
        fps=fps,
        seconds=seconds,
        bits_per_pixel=8 * status.st_size / (info.frames * info.width * info.height),
    )


def decode(path: Path, limits: Limits) -> Iterator[Frame]:
    """Yield the frames of a video as they are shown, each decoded once.

    Raises:
        VideoError: It cannot be decoded without errors, or its frames change their size.
    """
    size: tuple[int, int] | None = None
    for number, frame in enumerate(iterate_frames(path, limits.pixels)):
        here = (frame.width, frame.height)
        if size not in (None, here):
            raise VideoError(
                f"{path}: its frames change from {size} to {here} pixels at frame {number}; "
                "convert it to one size"
            )
        size = here
        yield frame


def _refuse_others(path: Path) -> None:
    """Say what a file is that is clearly something else: decoders would say less."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise VideoError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    for beginning, what in _OTHERS.items():
        if start.startswith(beginning):
            raise VideoError(
                f"{path}: is {what}, not a video, whatever its name; name a video file"
            )
