"""Counting the pictures of files whose packets do not tell, once in a process."""

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

from av.container import InputContainer
from av.video.stream import VideoStream

from deepfake_mtl.data.video.container import open_video, packets, show_headers
from deepfake_mtl.data.video.decoding import Decoder
from deepfake_mtl.data.video.timeline import Scan, Timeline
from deepfake_mtl.errors import VideoError

_REMEMBERED: Final = 1024
"""Files whose timeline a process keeps."""

_File: TypeAlias = tuple[str, int, int]

_counted: OrderedDict[_File, Timeline] = OrderedDict()
_lock: Final = Lock()


def timeline_of(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    most_pixels: int | None = None,
    alive: Callable[[], None] = lambda: None,
    *,
    distrust: bool = False,
) -> Timeline:
    """Return the frames of a video file.

    All packets are read. Where these are doubtful, the whole file is decoded, once in a process:
    the result is kept for as long as path, size and time of change stay the same.

    Args:
        path: The file.
        container: The file, just opened; its decoder is left ready for any key frame.
        stream: Video stream of the container.
        most_pixels: See `deepfake_mtl.data.video.container.open_video`.
        alive: Called for each picture that is decoded.
        distrust: Whether packets are known to contradict the decoder.

    Raises:
        VideoError: Packets cannot be read, or pictures not be decoded.
    """
    file = _identity(path)
    with _lock:
        known = _counted.get(file)
    if known is not None and not (distrust and known.places):
        first = next(packets(container, stream), None)
        if first is not None:
            show_headers(stream, first)
        return known
    scan = Scan.of(path, container, stream)
    if not scan.doubtful and not distrust:
        return scan.timeline()
    timeline = _Counter(path, scan, most_pixels, alive).count()
    if distrust:
        timeline = replace(timeline, places=(), keys=())
    with _lock:
        _counted[file] = timeline
        while len(_counted) > _REMEMBERED:
            _counted.popitem(last=False)
    return timeline


def is_counted(path: Path) -> bool:
    """Return whether a file is known as one whose index does not tell the number of its frames."""
    with _lock:
        return _identity(path) in _counted


@dataclass(frozen=True, slots=True)
class _Counter:
    """Decodes a file whose packets do not tell; see `timeline_of`."""

    path: Path
    scan: Scan
    most_pixels: int | None
    alive: Callable[[], None]

    def count(self) -> Timeline:
        """Return the timeline of the packets where that is confirmed, else what came out."""
        begin = self.scan.start()
        try:
            times = self._decode(begin)
        except VideoError:
            begin = self._excused(begin)
            times = self._decode(begin)
        if not times:
            raise VideoError(
                f"{self.path}: has a video stream without frames that can be shown; copy it again"
            )
        known = tuple(time for time in times if time is not None)
        rising = all(one < other for one, other in itertools.pairwise(known))
        if len(known) < len(times) or not rising or not self.scan.stores_times:
            known = ()
        expected = self.scan.timeline()
        if begin.strict and known and known == expected.times and self.scan.entry == 0:
            return expected
        return replace(begin, frames=len(times), times=known)

    def _excused(self, begin: Timeline) -> Timeline:
        """Return how to decode a file whose faults are those of its edges, as players do.

        A recorded stream may end within its last picture, which is left out. Pictures behind the
        first key frame may refer to what was cut off: a decoder that stops at nothing else then
        judges which of them can be shown. Faults anywhere else are damage.
        """
        last = len(self.scan.times) - 1
        failed = set(self._failures(begin))
        end = last if self.scan.recorded and last in failed else None
        if failed <= {last if end else -1, *self.scan.cut_group}:
            return replace(begin, end=end, strict=failed <= {last})
        return begin

    def _failures(self, begin: Timeline) -> Iterator[int]:
        """Return the places of packets that a strict decoder refuses or calls corrupt."""
        with open_video(self.path, self.most_pixels) as (container, stream):
            decoder = Decoder(self.path, stream, begin)
            for place, packet in enumerate(packets(container, stream)):
                if place >= begin.entry:
                    try:
                        for _ in decoder.pictures(packet, begin.entry_time):
                            self.alive()
                    except VideoError:
                        yield place

    def _decode(self, begin: Timeline) -> list[int | None]:
        """Return the timestamps of all pictures, in the decoder's order."""
        times = []
        with open_video(self.path, self.most_pixels, strict=begin.strict) as (container, stream):
            for frame in Decoder(self.path, stream, begin).all_shown(container):
                times.append(frame.pts)
                self.alive()
        return times


def _identity(path: Path) -> _File:
    status = os.stat(path)  # noqa: PTH116 (as fast as it gets)
    return str(path.absolute()), status.st_size, status.st_mtime_ns
