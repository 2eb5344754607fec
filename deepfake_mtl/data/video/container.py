"""Containers of video: opened, their packets, and how many of them are pictures by the index."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from deepfake_mtl.errors import VideoError

Packet: TypeAlias = "av.Packet[VideoStream]"

REMEDY: Final = "the file is damaged: copy it again from its source, or leave it out"

_LOCAL: Final = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,asf,flv,live_flv,mpeg,mpegts,mpegvideo,m4v,mxf,"
    "nut,ogg,rm,dv,gxf,ivf,h264,hevc,av1,obu,vc1,yuv4mpegpipe,gif,wtv,mjpeg,amv,nsv",
}
"""What may be opened: containers of video in one local file. Playlists and the like, whatever they
are called, would open other files and addresses."""

_OPENING: Final[dict[str, Any]] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
"""Titles that are not UTF-8 are not an error: PyAV from 19 on has it so without being told."""

_HIDING: Final = ("vp8", "vp9")
"""Codecs whose packets may be pictures that are never shown, but only referred to."""

_IDR: Final = re.compile(rb"\x00\x00\x01[\x25\x45\x65]")

_FIRST_PACKETS: Final = 64
"""Packets that are read to see in which order a file stores its pictures."""


@contextmanager
def open_video(
    path: Path, most_pixels: int | None = None, *, strict: bool = True
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the container and its video stream, with a decoder that stops at errors.

    Args:
        path: A video file.
        most_pixels: Greatest number of pixels of a frame; None for no limit.
        strict: Whether the decoder stops at errors that players pass over.

    Raises:
        VideoError: There is no such file, or no video stream in it.
    """
    limit = {} if most_pixels is None else {"max_pixels": str(most_pixels)}
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VideoError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    if size == 0:
        raise VideoError(f"{path}: is an empty file; copy it again")
    try:
        # Absolute, since "name:" would be a protocol.
        container = av.open(str(path.absolute()), options=_LOCAL | limit, **_OPENING)
    except (FFmpegError, OSError, ValueError) as error:
        _walk_boxes(path)
        raise VideoError(
            f"{path}: cannot be opened as a video ({reason_of(error)}); "
            "if it should be one, copy it again"
        ) from error
    with container:
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic  # a cover, in a file of music
        ]
        if not streams:
            raise VideoError(f"{path}: has no video stream; choose a file that contains video")
        context = streams[0].codec_context
        if context is None:
            raise VideoError(
                f"{path}: its video is of an unknown codec; convert it, or copy it again"
            )
        context.thread_count = 1
        # Without it, libavcodec paints over what it cannot decode.
        context.options = {"err_detect": "explode", **limit} if strict else limit
        yield container, streams[0]


def count_by_index(path: Path, container: InputContainer, stream: VideoStream) -> int | None:
    """Return the number of frames by the index of an MP4 or MOV file, and by its first packets.

    Returns:
        None where there is no whole index, or where its entries may be something else than
        pictures that are shown: the packets are to be looked at, as `timeline_of` does.

    Raises:
        VideoError: The file is cut short.
    """
    if "mov" not in container.format.name or _walk_boxes(path):
        return None
    entries = list(stream.index_entries)
    check_index(path, stream)
    times = [entry.timestamp for entry in entries]
    if (
        not entries
        or stream.codec_context.name in _HIDING
        or not entries[0].is_keyframe
        or min(entry.size for entry in entries) == 0
        or any(after <= before for before, after in pairwise(times))
        or not _begins_plainly(container, stream)
    ):
        return None
    return sum(not entry.is_discard for entry in entries)


def check_index(path: Path, stream: VideoStream) -> None:
    """See that a file has all the bytes that its index lists.

    Raises:
        VideoError: It is cut short.
    """
    entries = list(stream.index_entries)
    end = max((entry.pos + entry.size for entry in entries), default=0)
    size = path.stat().st_size
    if end > size:
        raise VideoError(
            f"{path}: is cut short: its index lists {len(entries)} frames and {end} bytes, "
            f"the file has only {size} bytes; copy it again"
        )


def _begins_plainly(container: InputContainer, stream: VideoStream) -> bool:
    """Return whether a file begins with a key frame, and orders its pictures as its codec does.

    Where the codec holds pictures back to reorder them, timestamps in the order of storage would
    contradict it; and what is shown before the first key frame may refer to what is not there.
    """
    reorders = stream.codec_context.has_b_frames
    first = latest = None
    for packet in islice(packets(container, stream), _FIRST_PACKETS):
        time = packet.pts
        if time is None:
            return False
        if first is None or latest is None:
            if not is_closed(stream.codec_context, packet):
                return False
            first = latest = time
        elif time < first:
            if not packet.is_discard:
                return False
        elif time < latest:
            return reorders
        elif not reorders:
            return True
        latest = max(latest, time)
    return not reorders


def _walk_boxes(path: Path) -> bool:
    """Return whether a file is a fragmented MP4, by the headers of its outermost boxes.

    Raises:
        VideoError: The last fragment, or data that nothing follows, ends beyond the file.
    """
    names = []
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = 0
        while end + 8 <= size:
            file.seek(end)
            header = file.read(16)
            length, name = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:  # the length follows, in 64 bits
                length = int.from_bytes(header[8:], "big")
            elif length == 0:  # the box goes on to the end of the file
                length = size - end
            if length < 8:
                break
            names.append(name)
            end += length
    if not names or names[0] != b"ftyp":
        return False
    fragmented = b"moof" in names
    if (
        end > size
        and names[-1] in {b"moov", b"moof", b"mdat"}
        and (fragmented or b"moov" not in names[:-1])
    ):
        raise VideoError(
            f"{path}: is cut short: its contents need {end} bytes, "
            f"the file has only {size} bytes; copy it again"
        )
    return fragmented


def reason_of(error: Exception) -> str:
    """Return what FFmpeg says about an error, in short."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Yield the packets of a stream that hold something, in the order of decoding.

    Samples of 0 bytes stand for frames that a recorder dropped: players go on with the last one.
    """
    # PyAV marks the end of a stream by a packet without data, too.
    return (packet for packet in container.demux(stream) if packet.size)


def show_headers(stream: VideoStream, packet: Packet) -> None:
    """Have the decoder see the headers in the first packet of a stream, but no picture.

    x264 names its version there and nowhere else. Up to version 150 it coded 4:4:4 in a way of its
    own, as FaceForensics++ has it; a decoder that was not told so turns it into garbage.
    """
    stream.codec_context.skip_frame = "ALL"
    with suppress(FFmpegError):
        stream.codec_context.decode(packet)
    stream.codec_context.skip_frame = "DEFAULT"


def is_closed(codec: VideoCodecContext, packet: Packet) -> bool:
    """Return whether nothing behind the first key frame can refer to what was before it.

    Of H.264 that is so where the frame is an IDR picture (ITU-T H.264, table 7-1). Others begin a
    stream where it was cut: pictures behind them may refer to, or give up, what was cut off.
    """
    if codec.name != "h264":
        return True
    content, header = bytes(packet), codec.extradata or b""
    if header[:1] != b"\x01":  # units begin with start codes
        return _IDR.search(content) is not None
    width, place = (header[4] & 3) + 1, 0
    while place + width < len(content):
        if content[place + width] & 31 == 5:
            return True
        place += width + int.from_bytes(content[place : place + width])
    return False


def is_hidden(codec: str, packet: Packet) -> bool:
    """Return whether a packet holds nothing but a picture that is never shown (alt-ref frames).

    VP8 and VP9 say so in the first byte of a frame (RFC 6386, section 9.1; VP9 bitstream
    specification, section 6.2). A VP9 packet that ends in an index of several frames shows one.
    """
    if codec not in _HIDING:
        return False
    content = memoryview(packet)
    first = content[0]
    if codec == "vp8":
        return not first & 0x10
    if content[-1] & 0xE0 == 0xC0:
        return False
    skipped = 1 if first & 0x30 == 0x30 else 0
    shows_existing, shown = first & (8 >> skipped), first & (2 >> skipped)
    return not shows_existing and not shown
