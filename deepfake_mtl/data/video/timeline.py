"""Which frame is which: numbers, timestamps, and what a decoder may enter at.

The order and the number of frames are the decoder's: frame n is the n-th picture that it gives from
the start. Where packets are pictures, and their timestamps agree with how the codec stores them,
the same follows from the packets alone, and a clip is reached by a seek (`Scan.timeline`). Where
not, a decode of the whole file has counted (`deepfake_mtl.data.video.counting`).
"""

import itertools
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from deepfake_mtl.data.video.container import (
    REMEDY,
    check_index,
    is_closed,
    is_hidden,
    packets,
    reason_of,
    show_headers,
)
from deepfake_mtl.errors import VideoError

_WITH_TIMES: Final = ("mov", "matroska")  # others leave libavformat to guess, as AVI does
_REFERENCES: Final = 64  # packets after which no picture refers to what came before a key frame
_RECORDED: Final = ("mpegts", "mpeg")  # begin and end wherever a recorder did


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of a video file.

    Attributes:
        frames: Number of frames; 0 while they are being counted.
        times: Timestamp of each frame, rising; empty where timestamps are unknown or contradict the
            order of the pictures.
        entry: Number of packets before the first key frame, which are not decoded.
        entry_time: Timestamp of that key frame.
        end: Number of packets to be read; None for all.
        strict: Whether the decoder may stop at whatever players pass over.
        stores_times: Whether the container stores timestamps; of others they are guessed.
        places: Place of each frame's packet in the order of storage; empty where frames can only be
            counted from the start.
        keys: Place and timestamp of each key frame, likewise.
    """

    frames: int
    times: tuple[int, ...] = ()
    entry: int = 0
    entry_time: int | None = None
    end: int | None = None
    strict: bool = True
    stores_times: bool = False
    places: tuple[int, ...] = ()
    keys: tuple[tuple[int, int], ...] = ()

    def frame_at(self, time: int | None) -> int | None:
        """Return the number of the frame with a timestamp; None if there is none."""
        if time is None:
            return None
        place = bisect_left(self.times, time)
        return place if place < len(self.times) and self.times[place] == time else None

    def key_before(self, wanted: range) -> int | None:
        """Return the timestamp of the last key frame from which all wanted frames can be decoded.

        What follows a key frame in decoding as well as in presentation can be decoded from it;
        what is shown before it may refer to frames before it (open groups of pictures).
        """
        if not self.places:
            return None
        first = min(self.places[frame] for frame in wanted)
        begin = self.times[wanted[0]]
        for place, time in reversed(self.keys):
            if place <= first and time <= begin:
                return time
        return None


@dataclass(slots=True)
class Scan:
    """What the packets of a stream say, in the order of storage; nothing is decoded.

    Attributes:
        times: Timestamp of each packet.
        keys: Places of key frames.
        shown: Places of packets that no edit list hides.
        closed: Whether nothing refers to what is before the first key frame.
        doubtful: Whether packets may be no pictures, or their timestamps not those of the pictures.
        stores_times: Whether the container stores timestamps; of others they are guessed.
        recorded: Whether the stream may end within a picture.
    """

    times: list[int | None] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    closed: bool = True
    doubtful: bool = False
    stores_times: bool = False
    recorded: bool = False

    @classmethod
    def of(cls, path: Path, container: InputContainer, stream: VideoStream) -> "Scan":
        """Read all packets, which costs a few hundredths of decoding them.

        Leaves the decoder ready for any key frame of the stream.

        Raises:
            VideoError: Packets cannot be read, or are incomplete.
        """
        scan = cls(
            stores_times=any(name in container.format.name for name in _WITH_TIMES),
            recorded=container.format.name in _RECORDED,
        )
        corrupt: list[int] = []
        hides, codec = False, stream.codec_context.name
        try:
            for place, packet in enumerate(packets(container, stream)):
                if place == 0:
                    show_headers(stream, packet)
                if packet.is_corrupt:
                    corrupt.append(place)
                if packet.is_keyframe:
                    if not scan.keys:
                        scan.closed = is_closed(stream.codec_context, packet)
                    scan.keys.append(place)
                if not packet.is_discard:
                    scan.shown.append(place)
                hides = hides or is_hidden(codec, packet)
                scan.times.append(packet.pts)
        except FFmpegError as error:
            raise VideoError(
                f"{path}: cannot be read beyond packet {len(scan.times)} "
                f"({reason_of(error)}); {REMEDY}"
            ) from error
        scan._see_whole(path, stream, corrupt)
        empty = "mov" in container.format.name and any(
            entry.size == 0 for entry in stream.index_entries
        )
        scan.doubtful = (
            hides
            or empty
            or not scan.closed
            or not (scan.stores_times or stream.codec_context.codec.intra_only)
            or not scan._is_plain(reorders=stream.codec_context.has_b_frames)
        )
        return scan

    @property
    def entry(self) -> int:
        """Place of the first packet that can be decoded."""
        return self.keys[0] if self.keys else 0

    @property
    def cut_group(self) -> range:
        """Places of packets that may refer to what was cut off, before the first key frame.

        These are leading pictures, and for some reference pictures more those in which H.264 gives
        up older ones. Empty where nothing shows that the file was cut.
        """
        begin, later = self.times[self.entry], self.times[self.entry + 1 :]
        leads = any(time is None or (begin is not None and time < begin) for time in later)
        following = [key for key in self.keys if key > self.entry]
        end = min([self.entry + _REFERENCES, *following])
        cut = leads or self.entry or not self.closed
        return range(self.entry + 1, end if cut else self.entry)

    def start(self) -> Timeline:
        """Return the timeline of a file whose frames are yet to be counted."""
        return Timeline(
            0,
            entry=self.entry,
            entry_time=self.times[self.entry] if self.times else None,
            stores_times=self.stores_times,
        )

    def timeline(self) -> Timeline:
        """Return the timeline of a file that is not doubtful, or whose order was verified."""
        begin = self.start()
        if not self.stores_times:
            return replace(begin, frames=len(self.shown))
        pairs = sorted(
            (time, place) for place in self.shown if (time := self.times[place]) is not None
        )
        return replace(
            begin,
            frames=len(pairs),
            times=tuple(time for time, _ in pairs),
            places=tuple(place for _, place in pairs),
            keys=tuple((key, time) for key in self.keys if (time := self.times[key]) is not None),
        )

    def _is_plain(self, *, reorders: bool) -> bool:
        """Return whether every packet is a picture whose timestamp can be believed.

        That is: all have timestamps, no two the same; the first is a key frame, and no frame that
        is shown comes before it; and where the codec holds back pictures to reorder them, the
        timestamps are not in the order of storage, else they are. AVI and raw streams have none
        of their own: copied to MP4 or Matroska, pictures get those of the order of storage.
        """
        times = [time for time in self.times if time is not None]
        if len(times) < len(self.times) or len(set(times)) < len(times) or not times:
            return False
        if self.entry or min(times[place] for place in self.shown or [0]) < times[0]:
            return False
        rising = all(one < other for one, other in itertools.pairwise(times))
        return rising != reorders

    def _see_whole(self, path: Path, stream: VideoStream, corrupt: list[int]) -> None:
        """See that what is decoded was stored completely."""
        last = len(self.times) - 1
        lost = [
            place
            for place in corrupt
            if place >= self.entry and not (self.recorded and place == last)
        ]
        if lost or len(self.times) < len(stream.index_entries):
            check_index(path, stream)  # says more, where it can
        if lost:
            raise VideoError(f"{path}: a packet ends before it is complete; {REMEDY}")
