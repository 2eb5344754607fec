"""Packets to pictures: from the start, or from a key frame before a clip."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepfake_mtl.data.video.container import REMEDY, Packet, packets, reason_of
from deepfake_mtl.data.video.geometry import Geometry, pixel_aspect
from deepfake_mtl.data.video.timeline import Timeline
from deepfake_mtl.errors import VideoError


class OrderContradictedError(Exception):
    """The decoder's pictures have another order, or other key frames, than the packets say."""


class Decoder:
    """The decoder of an opened video, which stops at errors that are none of the file's edges.

    Args:
        path: The file, for messages.
        stream: Video stream of the container.
        timeline: What is known of its frames.

    Attributes:
        decoded: Number of pictures so far.
    """

    def __init__(self, path: Path, stream: VideoStream, timeline: Timeline) -> None:
        self.decoded = 0
        self.context = stream.codec_context
        self._path = path
        self._stream = stream
        self._timeline = timeline

    def all_shown(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        """Decode a whole file, in the decoder's order: the n-th picture is frame n.

        What lies before the first key frame is not fed. Of the pictures that follow it in storage
        but are shown before it (leading pictures of an open group), those are left out that refer
        to what is not there. So is the last one where a recorded stream ends within it.

        Raises:
            VideoError: Anything else cannot be decoded.
        """
        timeline = self._timeline
        fed = islice(packets(container, self._stream), timeline.entry, timeline.end)
        for packet in fed:
            yield from self.pictures(packet, timeline.entry_time)
        yield from self.pictures(None, timeline.entry_time)

    def pictures(self, packet: "Packet | None", begin: int | None) -> Iterator[av.VideoFrame]:
        """Decode a packet, or with None what the decoder holds back.

        Args:
            packet: What to decode.
            begin: Timestamp of the key frame at which decoding began; what is shown before it
                may fail.

        Raises:
            VideoError: It cannot be decoded without errors.
        """
        try:
            frames = self.context.decode(packet)
        except FFmpegError as error:
            time = None if packet is None else packet.pts
            if packet is not None and self._may_fail(time, begin):
                return
            raise self.error(reason_of(error), time) from error
        for frame in frames:
            if not frame.is_corrupt:
                self.decoded += 1
                yield frame
            elif not self._may_fail(frame.pts, begin):
                raise self.error("data is missing", frame.pts)

    def error(self, reason: str, time: int | None = None, number: int | None = None) -> VideoError:
        """Return an error at a frame, named by its number, or else found by its timestamp."""
        timeline = self._timeline
        if number is None:
            number = timeline.frame_at(time)
        number = self.decoded if number is None else number
        of = f" of {timeline.frames}" if timeline.frames else ""
        return VideoError(
            f"{self._path}: cannot be decoded at frame {number}{of} ({reason}); {REMEDY}"
        )

    def _may_fail(self, time: int | None, begin: int | None) -> bool:
        if time is None:  # Matroska has no timestamps before zero
            return self._timeline.stores_times and self.decoded == 0
        return begin is not None and time < begin


class ClipDecoder:
    """One clip of one opened video, on its way from packets to RGB.

    Args:
        path: The file, for messages.
        stream: Video stream of the container.
        timeline: What is known of its frames.
        wanted: Numbers of the clip's frames.
    """

    def __init__(self, path: Path, stream: VideoStream, timeline: Timeline, wanted: range) -> None:
        self.slots = {frame: slot for slot, frame in enumerate(wanted)}
        self._stream = stream
        self._timeline = timeline
        self._decoder = Decoder(path, stream, timeline)
        self._aspect: Fraction = pixel_aspect(stream)
        self._coded = (stream.codec_context.width, stream.codec_context.height)
        self._geometry: Geometry | None = None
        self._latest = -1
        self._length = len(wanted)
        # Before the decoder takes memory, so that the next clip can have the same; turned or not,
        # pictures have as many pixels.
        width, height = Geometry.scaled(self._coded, self._aspect).shown
        self._clip: NDArray[np.uint8] = np.empty(self._length * height * width * 3, np.uint8)

    def from_start(self, container: InputContainer) -> NDArray[np.uint8]:
        """Decode every frame up to the end of the clip, and count."""
        for number, frame in enumerate(self._decoder.all_shown(container)):
            self.take(number, frame)
            if not self.slots:
                break
        return self._finished()

    def from_key(self, container: InputContainer, begin: int) -> NDArray[np.uint8]:
        """Decode from the key frame that is shown at time ``begin``.

        Raises:
            OrderContradictedError: The decoder does not follow the timestamps.
        """
        container.seek(begin, stream=self._stream)
        for packet in self._needed(packets(container, self._stream), begin):
            self._follow(packet, begin)
            if not self.slots:
                break
        if self.slots:
            self._follow(None, begin)
        return self._finished()

    def take(self, number: int, frame: av.VideoFrame) -> None:
        """Keep a frame, if it is wanted."""
        slot = self.slots.pop(number, None)
        if slot is None:
            return
        geometry = Geometry.of(frame, self._aspect)
        if geometry.coded != self._coded:
            raise self._decoder.error("the size of the picture changes", number=number)
        if self._geometry is None:
            self._geometry = geometry
            width, height = geometry.shown
            self._clip = self._clip.reshape(self._length, height, width, 3)
        elif self._geometry != geometry:
            raise self._decoder.error("the rotation of the picture changes", number=number)
        geometry.to_rgb(frame, out=self._clip[slot])

    def _needed(self, source: Iterable[Packet], begin: int) -> Iterator[Packet]:
        """Leave out packets before ``begin``, behind the clip, and those that nobody refers to.

        The decoder is told packet by packet what to leave out: without threads it takes in a
        packet at once. Only H.264 says of a frame that none of all later frames refers to it.
        """
        wanted = frozenset(self._timeline.times[frame] for frame in self.slots)
        ahead = set(wanted)
        context = self._decoder.context
        can_skip = context.name == "h264"
        begun = False
        for packet in source:
            begun = begun or packet.pts == begin
            if begun:
                idle = packet.pts != begin and packet.pts not in wanted
                context.skip_frame = "NONREF" if can_skip and idle else "DEFAULT"
                yield packet
                ahead.discard(packet.pts)
                if not ahead:
                    return

    def _follow(self, packet: "Packet | None", begin: int) -> None:
        """Decode a packet, or with None what is held back, and see that the order is kept."""
        for frame in self._decoder.pictures(packet, begin):
            number = self._timeline.frame_at(frame.pts)
            if number is None or frame.pts is None:
                raise OrderContradictedError
            if frame.pts >= begin:
                if number <= self._latest or (frame.pts == begin and not _stands_alone(frame)):
                    raise OrderContradictedError
                self._latest = number
                self.take(number, frame)

    def _finished(self) -> NDArray[np.uint8]:
        if self.slots:
            raise self._decoder.error("decoding ended before it", number=next(iter(self.slots)))
        return self._clip


def _stands_alone(frame: av.VideoFrame) -> bool:
    return frame.key_frame or frame.pict_type == PictureType.I
