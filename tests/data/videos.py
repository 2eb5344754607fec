"""Tiny videos for tests, made with PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def frame_pattern(count, height=48, width=64, seed=0):
    """Frames that all differ: a drifting ramp, a moving disc, noise. (count, height, width, 3)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = generator.normal(0, 12, (height, width, 3)).astype(np.float32)
    phase = generator.uniform(0, 2 * np.pi, 3)
    frames = np.empty((count, height, width, 3), np.uint8)
    for i in range(count):
        for channel in range(3):
            wave = np.sin((x + 2 * i) / (5 + channel) + y / 9 + phase[channel])
            frames[i, ..., channel] = np.clip(128 + 70 * wave + noise[..., channel], 0, 255)
        centre = (width * (0.5 + 0.4 * np.sin(i / 3)), height * (0.5 + 0.4 * np.cos(i / 4)))
        disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (height / 5) ** 2
        frames[i][disc] = (255, (37 * i) % 256, 40)
        noise = np.roll(noise, (1, 3), (0, 1))
    return frames


def write_video(
    path: Path,
    frames,
    *,
    fps=25,
    crf=23,
    gop=250,
    bframes=3,
    pix_fmt="yuv444p",
    codec="libx264",
    codec_options=None,
    container_options=None,
    times=None,
    time_base=None,
    colorspace=None,
    full_range=False,
    rotation=0,
):
    """Encodes RGB ``frames`` (count, height, width, 3) as FaceForensics++ is, or otherwise.

    Args:
        times: Presentation timestamp of each frame, in units of ``time_base``; None for a constant
            ``fps``.
        colorspace: Number of an AVColorSpace to write into the stream.
        rotation: Degrees, counter-clockwise, by which players are told to turn the pictures.
    """
    options = {"crf": str(crf), "preset": "veryfast"} if codec == "libx264" else {}
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options | (codec_options or {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        context = stream.codec_context
        context.thread_count = 1
        context.gop_size = gop
        context.max_b_frames = bframes
        context.time_base = time_base or 1 / rate
        if colorspace is not None:
            context.colorspace = colorspace
        if full_range:
            context.color_range = 2
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace=colorspace,
                dst_color_range=2 if full_range else 1,
            )
            frame.pts = i if times is None else times[i]
            frame.time_base = context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def copy_packets(source: Path, target: Path, first=0, offset=0, container_options=None):
    """Puts the video packets from number ``first`` on into another file, shifted in time."""
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", options=container_options or {}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.size and number >= first:
                packet.pts += offset
                packet.dts += offset
                packet.stream = stream
                writer.mux(packet)


def spoil(path: Path) -> None:
    """Overwrite the pictures of a video, but neither its header nor its index."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 8
    end = content.index(b"moov") - 4 if content.index(b"moov") > start else len(content)
    content[start:end] = bytes(end - start)
    path.unlink()  # it is linked to the original
    path.write_bytes(content)
