"""Videos on disk to arrays of frames: ``(path, start, length, stride)`` -> uint8 RGB.

Frames are counted as they are shown, from 0. Which frame is which is decided by the timestamps of
all packets, read without decoding, and not by counting what a decoder returns after a seek: so a
clip has the same bits whether it was reached by a seek or by decoding from the start.

Needs PyAV, OpenCV and NumPy only.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepfake_mtl.data.colours import Window, quarter_turns, scale, to_rgb, to_scaled_rgb
from deepfake_mtl.data.crop_files import probe_crops, read_crops
from deepfake_mtl.data.crop_format import SUFFIX
from deepfake_mtl.data.video_info import VideoInfo, check_frames, frames_of_clip
from deepfake_mtl.errors import VideoError

_IMAGE_ENDINGS: Final = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
_WITH_TIMES: Final = ("mov", "matroska")  # others leave libavformat to guess, as AVI does
_Packet: TypeAlias = "av.Packet[VideoStream]"
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
"""Titles that are no UTF-8 are no error: PyAV from 19 on has it so without being told."""

_REMEDY: Final = "the file is damaged: copy it again from its source, or leave it out"


def probe(path: Path, most_pixels: int | None = None) -> VideoInfo:
    """Number of frames, size and frame rate of a video, without decoding it.

    Of an MP4 or MOV file only the index is read. Other containers, and fragmented MP4 files, have
    their packets counted. Of a folder of frames the first image is opened for its size.

    Args:
        path: A video file, a folder of images (PNG or JPEG) in the order of their numbers, or a
            file of crops (``.crops``).
        most_pixels: See `iterate_frames`.

    Raises:
        VideoError: There is no such file, it is no video, is cut short, or has no frames.
    """
    if path.is_dir():
        images = _list_images(path)
        height, width, _ = _read_image(images[0]).shape
        return VideoInfo(len(images), width, height, math.nan)
    if path.suffix == SUFFIX:
        return probe_crops(path)
    with open_video(path, most_pixels) as (container, stream):
        frames = _count_by_index(path, container, stream)
        if frames is None:
            frames = len(_Timeline.of(path, container, stream).shown)
        context, rate = stream.codec_context, stream.average_rate
        if 0 in (frames, context.width, context.height):
            raise VideoError(f"{path}: has a video stream without frames; copy it again")
        fps = math.nan if rate is None else float(rate)
        return VideoInfo(frames, context.width, context.height, fps)


def read_clip(path: Path, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
    """Frames ``start``, ``start + stride``, ... of a video, as they are shown.

    A video file is entered at the last key frame before the clip, and on the way from there H.264
    frames to which no other frame refers are left out. The decoder has one thread, since the
    workers of a data loader fill the cores. `deepfake_mtl.data.colours.to_rgb` makes the colours.
    A rotation by quarter turns that the container asks for, as telephones write it, is applied.

    Args:
        path: A video file, a folder of images (PNG or JPEG) in the order of their numbers, or a
            file of crops (``.crops``).
        start: First frame, counted from 0 in the order of presentation.
        length: Number of frames of the clip.
        stride: Distance between neighbouring frames of the clip, in frames of the video.

    Returns:
        RGB frames, shape (length, height, width, 3).

    Raises:
        ConfigurationError: The video has no such frames.
        VideoError: The video cannot be opened, or not be decoded without errors. Damage that still
            makes sense to the decoder goes unnoticed: most codecs have no checksums.
    """
    wanted = frames_of_clip(path, start, length, stride)
    if path.is_dir():
        return _read_images(path, wanted)
    if path.suffix == SUFFIX:
        return read_crops(path, start, length, stride)
    with open_video(path) as (container, stream):
        timeline = _Timeline.of(path, container, stream)
        check_frames(path, wanted, len(timeline.shown))
        key = timeline.key_before(wanted)
        if key is not None:
            # Fails at key frames in name only (intra refresh), and where a demuxer cannot seek. If
            # the file is to blame, decoding from the start finds out and says where.
            with suppress(FFmpegError, VideoError):
                return _Decoding(path, stream, timeline, wanted).from_key(container, key)
    with open_video(path) as (container, stream):
        return _Decoding(path, stream, timeline, wanted).from_start(container)


class Frame:
    """A frame on its way through `iterate_frames`, converted to RGB only where it is asked for.

    Args:
        picture: A decoded frame; or RGB, of shape (height, width, 3).
        time: When it is shown, in seconds from the first frame; nan where that is unknown.

    Attributes:
        time: As given.
        height: Of the whole upright picture, in pixels.
        width: Likewise.
    """

    __slots__ = ("_held", "_picture", "height", "time", "width")

    def __init__(self, picture: av.VideoFrame | NDArray[np.uint8], time: float = math.nan) -> None:
        self._picture = picture
        self.time = time
        if isinstance(picture, np.ndarray):
            self.height, self.width = picture.shape[:2]
        elif quarter_turns(picture) % 2:
            self.height, self.width = picture.width, picture.height
        else:
            self.height, self.width = picture.height, picture.width
        self._held = (range(self.height), range(self.width))

    @property
    def nbytes(self) -> int:
        """Memory that the frame takes, in bytes."""
        if isinstance(self._picture, np.ndarray):
            return self._picture.nbytes
        return sum(plane.buffer_size for plane in self._picture.planes)

    def holds(self, window: Window) -> bool:
        """Whether a window can be asked for: always, unless the frame is a `part`."""
        return all(
            held.start <= asked.start and asked.stop <= held.stop
            for held, asked in zip(self._held, window, strict=True)
        )

    def rgb(self, window: Window | None = None) -> NDArray[np.uint8]:
        """The picture, upright, or a window of it; the same bits as `read_clip` gives.

        Args:
            window: Rows and columns of the upright picture; all that the frame holds if None.

        Returns:
            RGB, shape (height, width, 3) of the window.

        Raises:
            ValueError: The frame is a part that does not hold the window.
        """
        window = window or self._held
        if not self.holds(window):
            raise ValueError(f"{window} is not inside what this frame holds, {self._held}")
        if not isinstance(self._picture, np.ndarray):
            turns = quarter_turns(self._picture)
            if turns == 0:
                return to_rgb(self._picture, window=window)
            picture = np.rot90(to_rgb(self._picture), turns)
        else:
            picture = self._picture
        rows, columns = (
            range(asked.start - held.start, asked.stop - held.start)
            for held, asked in zip(self._held, window, strict=True)
        )
        return np.ascontiguousarray(picture[rows.start : rows.stop, columns.start : columns.stop])

    def scaled(self, width: int, height: int) -> NDArray[np.uint8]:
        """The picture, or what this part holds of it, upright at another size.

        Of a video it is cheaper than `rgb`, and deviates from that, scaled, by what is rounded.

        Args:
            width: Of the result in pixels.
            height: Likewise.

        Returns:
            RGB, shape (height, width, 3).
        """
        if isinstance(self._picture, np.ndarray):
            return scale(self._picture, width, height)
        turns = quarter_turns(self._picture)
        size = (height, width) if turns % 2 else (width, height)
        return np.ascontiguousarray(np.rot90(to_scaled_rgb(self._picture, *size), turns))

    def part(self, window: Window) -> "Frame":
        """The same frame, which holds no more than a window of its picture, and less memory.

        Raises:
            ValueError: The frame does not hold the window.
        """
        part = Frame(self.rgb(window), self.time)
        part.height, part.width, part._held = self.height, self.width, window
        return part


def iterate_frames(path: Path, most_pixels: int | None = None) -> Iterator[Frame]:
    """All frames of a video, as they are shown, each decoded once.

    Args:
        path: A video file, or a folder of images (PNG or JPEG) in the order of their numbers.
        most_pixels: A video file with larger frames is an error before any of them takes memory;
            None for no limit.

    Yields:
        As many frames as `probe` counts.

    Raises:
        VideoError: The video cannot be opened, or not be decoded without errors.
    """
    if path.is_dir():
        for image in _list_images(path):
            yield Frame(_read_image(image))
        return
    with open_video(path, most_pixels) as (container, stream):
        timeline = _Timeline.of(path, container, stream)
    with open_video(path, most_pixels) as (container, stream):
        yield from _Decoding(path, stream, timeline, range(0)).every(container)


@contextmanager
def open_video(
    path: Path, most_pixels: int | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, with a decoder that stops at errors.

    Args:
        path: A video file.
        most_pixels: Of a frame; None for no limit.

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
            f"{path}: cannot be opened as a video ({_reason(error)}); "
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
        context.options = {"err_detect": "explode", **limit}
        yield container, streams[0]


def _count_by_index(path: Path, container: InputContainer, stream: VideoStream) -> int | None:
    """Number of frames by the index of an MP4 or MOV file; None if there is no whole index."""
    if "mov" not in container.format.name or _walk_boxes(path):
        return None
    entries = list(stream.index_entries)
    end = max((entry.pos + entry.size for entry in entries), default=0)
    size = path.stat().st_size
    if end > size:
        raise VideoError(
            f"{path}: is cut short: its index lists {len(entries)} frames and {end} bytes, "
            f"the file has only {size} bytes; copy it again"
        )
    return sum(not entry.is_discard for entry in entries)


def _walk_boxes(path: Path) -> bool:
    """Whether a file is a fragmented MP4, by the headers of its outermost boxes.

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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[_Packet]:
    # PyAV marks the end of a stream by a packet without data.
    return (packet for packet in container.demux(stream) if packet.size)


def _show_headers(stream: VideoStream, packet: _Packet) -> None:
    """Has the decoder see the headers in the first packet of a stream, but no picture.

    x264 names its version there and nowhere else. Up to version 150 it coded 4:4:4 in a way of its
    own, as FaceForensics++ has it; a decoder that was not told so turns it into garbage.
    """
    stream.codec_context.skip_frame = "ALL"
    with suppress(FFmpegError):
        stream.codec_context.decode(packet)
    stream.codec_context.skip_frame = "DEFAULT"


@dataclass(frozen=True, slots=True)
class _Timeline:
    """When the frames of a video are shown, according to its packets.

    Attributes:
        times: Presentation timestamp of each packet, in the order of decoding.
        keys: Positions of key frames.
        shown: Positions in the order of presentation, without what an edit list hides.
        by_time: Whether timestamps identify frames: stored in the file, not guessed, and unequal.
    """

    times: list[int | None]
    keys: list[int]
    shown: list[int]
    by_time: bool

    @classmethod
    def of(cls, path: Path, container: InputContainer, stream: VideoStream) -> "_Timeline":
        """Reads all packets, which costs a few hundredths of decoding them.

        Leaves the decoder ready for any key frame of the stream.
        """
        times: list[int | None] = []
        keys: list[int] = []
        shown: list[int] = []
        whole = True
        try:
            for packet in _packets(container, stream):
                if not times:
                    _show_headers(stream, packet)
                whole = whole and not packet.is_corrupt
                if packet.is_keyframe:
                    keys.append(len(times))
                if not packet.is_discard:
                    shown.append(len(times))
                times.append(packet.pts)
        except FFmpegError as error:
            raise VideoError(
                f"{path}: cannot be read beyond packet {len(times)} ({_reason(error)}); {_REMEDY}"
            ) from error
        if not whole or len(times) < len(stream.index_entries):
            _count_by_index(path, container, stream)  # says more, where it can
        if not whole:
            raise VideoError(f"{path}: a packet ends before it is complete; {_REMEDY}")
        stores_times = any(name in container.format.name for name in _WITH_TIMES)
        by_time = stores_times and None not in times and len(set(times)) == len(times)
        if by_time:
            shown.sort(key=lambda position: cast("int", times[position]))
        return cls(times, keys, shown, by_time)

    def key_before(self, wanted: range) -> int | None:
        """Time of the last key frame from which all wanted frames can be decoded.

        What follows a key frame in decoding as well as in presentation can be decoded from it;
        what is shown before it may refer to frames before it (open groups of pictures).
        """
        if not self.by_time:
            return None
        positions = [self.shown[frame] for frame in wanted]
        first, begin = min(positions), cast("int", self.times[positions[0]])
        for position in reversed(self.keys):
            time = cast("int", self.times[position])
            if position <= first and time <= begin:
                return time
        return None


class _Decoding:
    """One clip of one opened video, on its way from packets to RGB."""

    def __init__(self, path: Path, stream: VideoStream, timeline: _Timeline, wanted: range) -> None:
        self.path = path
        self.stream = stream
        self.context = stream.codec_context
        self.timeline = timeline
        self.decoded = 0
        self.turns: int | None = None
        shape = (len(wanted), self.context.height, self.context.width, 3)
        self.clip = np.empty(shape, np.uint8)
        # Slots of the clip still to be filled, by time of presentation, or else by frame number.
        self.slots: dict[int | None, int] = {
            timeline.times[timeline.shown[frame]] if timeline.by_time else frame: slot
            for slot, frame in enumerate(wanted)
        }

    def from_start(self, container: InputContainer) -> NDArray[np.uint8]:
        """Decodes every frame up to the end of the clip."""
        return self._decode(_packets(container, self.stream), self.timeline.times[0])

    def every(self, container: InputContainer) -> Iterator[Frame]:
        """Decodes every frame that is shown."""
        times, by_time = self.timeline.times, self.timeline.by_time
        shown = [
            times[position] if by_time else i for i, position in enumerate(self.timeline.shown)
        ]
        left = dict.fromkeys(shown)
        for packet in chain(_packets(container, self.stream), (None,)):
            for name, frame in self._pictures(packet, times[0]):
                if name in left:
                    del left[name]
                    time = math.nan
                    if by_time and frame.pts is not None and self.stream.time_base:
                        time = float((frame.pts - (shown[0] or 0)) * self.stream.time_base)
                    yield Frame(frame, time)
        if left:
            raise self._error("decoding ended before it", next(iter(left)))

    def from_key(self, container: InputContainer, begin: int) -> NDArray[np.uint8]:
        """Decodes from the key frame that is shown at time ``begin``."""
        container.seek(begin, stream=self.stream)
        return self._decode(self._without_idle(_packets(container, self.stream), begin), begin)

    def _without_idle(self, packets: Iterable[_Packet], begin: int) -> Iterator[_Packet]:
        """Leaves out packets before ``begin``, and frames that are neither wanted nor referred to.

        The decoder is told packet by packet what to leave out: without threads it takes in a
        packet at once. Only H.264 says of a frame that none of all later frames refers to it.
        """
        wanted = frozenset(self.slots)
        can_skip = self.context.name == "h264"
        begun = False
        for packet in packets:
            begun = begun or packet.pts == begin
            if begun:
                idle = can_skip and packet.pts not in wanted
                self.context.skip_frame = "NONREF" if idle else "DEFAULT"
                yield packet

    def _decode(self, packets: Iterable[_Packet], begin: int | None) -> NDArray[np.uint8]:
        ahead = set(self.slots)
        for packet in packets:
            self._feed(packet, begin)
            if self.timeline.by_time:
                ahead.discard(packet.pts)
            if not ahead or not self.slots:
                break
        if self.slots:
            self._feed(None, begin)
        if self.slots:
            raise self._error("decoding ended before it", next(iter(self.slots)))
        return np.ascontiguousarray(np.rot90(self.clip, self.turns or 0, axes=(1, 2)))

    def _feed(self, packet: "_Packet | None", begin: int | None) -> None:
        """Decodes a packet, or with None what the decoder holds back, and keeps wanted frames.

        Errors count from ``begin`` on: what follows the first key frame in decoding but is shown
        before it may refer to frames that were never fed.
        """
        for name, frame in self._pictures(packet, begin):
            slot = self.slots.pop(name, None)
            if slot is not None:
                turns = quarter_turns(frame)
                if (frame.height, frame.width) != self.clip.shape[1:3]:
                    raise self._error("the size of the picture changes", name)
                if self.turns not in (None, turns):
                    raise self._error("the rotation of the picture changes", name)
                self.turns = turns
                to_rgb(frame, out=self.clip[slot])

    def _pictures(
        self, packet: "_Packet | None", begin: int | None
    ) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Decodes a packet; frames with their times of presentation, or else their numbers."""
        try:
            frames = self.context.decode(packet)
        except FFmpegError as error:
            if packet is not None and self._leads(packet.pts, begin):
                return
            name = packet.pts if packet is not None and self.timeline.by_time else None
            raise self._error(_reason(error), name) from error
        for frame in frames:
            name = frame.pts if self.timeline.by_time else self.decoded
            self.decoded += 1
            if not frame.is_corrupt:
                yield name, frame
            elif not self._leads(frame.pts, begin):
                raise self._error("data is missing", name)

    def _leads(self, time: int | None, begin: int | None) -> bool:
        if not self.timeline.by_time or time is None or begin is None:
            return False
        return time < begin

    def _error(self, reason: str, name: int | None) -> VideoError:
        """An error at a frame, named by its time of presentation or else by its number."""
        times, shown = self.timeline.times, self.timeline.shown
        if self.timeline.by_time:
            name = next((i for i, position in enumerate(shown) if times[position] == name), None)
        place = f"frame {self.decoded if name is None else name} of {len(shown)}"
        return VideoError(f"{self.path}: cannot be decoded at {place} ({reason}); {_REMEDY}")


def _list_images(path: Path) -> list[Path]:
    """Images of a folder of frames, in the order of the numbers in their names."""
    images = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in _IMAGE_ENDINGS and not file.name.startswith(".")
    ]
    if not images:
        raise VideoError(
            f"{path}: is a folder without frames; put PNG or JPEG images into it, "
            "or name a video file"
        )
    return sorted(images, key=_natural_order)


def _natural_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", file.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], file.name


def _read_image(file: Path) -> NDArray[np.uint8]:
    """RGB, shape (height, width, 3)."""
    data = file.read_bytes()
    # OpenCV fills up what is missing of an image that is cut short.
    whole = _IMAGE_ENDINGS[file.suffix.lower()] in data[-1024:]
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
    if image is None:
        raise VideoError(f"{file}: cannot be decoded as an image, or is cut short; {_REMEDY}")
    return np.asarray(image, np.uint8)


def _read_images(path: Path, wanted: range) -> NDArray[np.uint8]:
    images = _list_images(path)
    check_frames(path, wanted, len(images))
    frames = []
    for number in wanted:
        frames.append(_read_image(images[number]))
        if frames[-1].shape != frames[0].shape:
            raise VideoError(
                f"{path}: frames differ in size: {images[wanted[0]].name} has "
                f"{_size(frames[0])}, {images[number].name} has {_size(frames[-1])}; "
                "extract them again"
            )
    return np.stack(frames)


def _size(frame: NDArray[np.uint8]) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]} pixels"
