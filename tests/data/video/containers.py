"""Containers as the world has them: copied, cut and remuxed without encoding again."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError

from deepfake_mtl.data.video.geometry import Geometry, pixel_aspect
from tests.data.videos import write_video


@dataclass(frozen=True)
class Recipe:
    """How a container is made.

    Attributes:
        codec: Of PyAV.
        bframes: Most B-frames in a row.
        open_gop: Whether groups of pictures refer to each other.
        gop: Distance of key frames.
        times: ``kept``, or ``storage``: as AVI and raw streams give, by the order of storage.
        first: First packet that is copied.
        hidden: Number of frames before time zero, which an edit list of MP4 hides.
        suffix: Of the container.
    """

    codec: str
    bframes: int
    open_gop: bool
    gop: int
    times: str
    first: int
    hidden: int
    suffix: str


def encode(path: Path, recipe: Recipe, frames) -> None:
    """Encode frames, into MP4, which has all timestamps."""
    opened = int(recipe.open_gop)
    options = {
        "libx264": {"x264-params": f"open-gop={opened}:scenecut=0:min-keyint=1:repeat-headers=1"},
        "libx265": {
            "x265-params": f"log-level=0:pools=1:repeat-headers=1:open-gop={opened}:scenecut=0:"
            f"keyint={recipe.gop}:min-keyint=1:bframes={recipe.bframes}"
        },
        "mpeg4": {"b": "4M"},
        "mpeg2video": {"sc_threshold": "1000000000", "b": "4M"}
        | ({} if opened else {"flags": "+cgop"}),
        "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime"},
    }[recipe.codec]
    write_video(
        path,
        frames,
        gop=recipe.gop,
        bframes=recipe.bframes,
        pix_fmt="yuv420p",
        codec=recipe.codec,
        codec_options=options,
    )


def copy(source: Path, target: Path, recipe: Recipe) -> None:
    """Copy packets as ``ffmpeg -c copy`` does."""
    filters = {("libx264", ".ts"): "h264_mp4toannexb", ("libx265", ".ts"): "hevc_mp4toannexb"}
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        read = reader.streams.video[0]
        written = writer.add_stream_from_template(read)
        name = filters.get((recipe.codec, recipe.suffix))
        filtered = None if name is None else BitStreamFilterContext(name, read)
        packets = [packet for packet in reader.demux(read) if packet.size][recipe.first :]
        unit = Fraction(1, 25) / read.time_base
        shift = min(packet.dts for packet in packets)
        if recipe.suffix == ".mp4":
            shift = min(packet.pts for packet in packets) + round(recipe.hidden * unit)
        for number, packet in enumerate(packets):
            packet.pts -= shift
            packet.dts -= shift
            if recipe.times == "storage":
                packet.pts = packet.dts = round((number - recipe.hidden) * unit)
            packet.stream = written
            for each in [packet] if filtered is None else filtered.filter(packet):
                each.stream = written
                writer.mux(each)


def shown_by_players(path: Path) -> list[np.ndarray] | None:
    """What a plain decode gives from the first key frame on, without what is marked as corrupt.

    The pictures before it, of which some decoders paint what they do not know, are no part of it.
    None if even a player gives up.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            aspect = pixel_aspect(stream)
            packets = [packet for packet in container.demux(stream) if packet.size]
            keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
            pictures = []
            for packet in [*packets[keys[0] if keys else 0 :], None]:
                pictures += [
                    Geometry.of(frame, aspect).to_rgb(frame)
                    for frame in stream.codec_context.decode(packet)
                    if not frame.is_corrupt
                ]
    except FFmpegError:
        return None
    return pictures


def empty_samples(source: Path, target: Path, numbers) -> None:
    """Take the content of samples out of an MP4 whose samples lie side by side."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        entries = [(each.pos, each.size) for each in container.streams.video[0].index_entries]
    sizes, chunks = data.index(b"stsz") + 4, data.index(b"stco") + 4
    assert struct.unpack_from(">I", data, sizes + 4) == (0,)
    assert struct.unpack_from(">I", data, chunks + 4) == (1,)
    for number in numbers:
        struct.pack_into(">I", data, sizes + 12 + 4 * number, 0)
    box = data.index(b"mdat") - 4
    length = struct.unpack_from(">I", data, box)[0] - sum(entries[n][1] for n in numbers)
    struct.pack_into(">I", data, box, length)
    for number in sorted(numbers, reverse=True):
        position, size = entries[number]
        del data[position : position + size]
    target.write_bytes(data)
