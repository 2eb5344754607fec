"""All faces of a video, each as a steady square, a bounded number of frames behind the decoder.

`deepfake_mtl.faces.tracks.find_main_track` sees a whole video before it says where the face is in
any frame. Here a frame waits until the boxes that its squares depend on are known, and is then let
go, so that memory does not grow with the length of the video. The squares are the same, unless a
face is gone for longer than frames wait, or grows so fast that the limit of its zoom reaches
farther.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video import Frame
from deepfake_mtl.faces.detection import FaceDetector
from deepfake_mtl.faces.tracks import (
    Track,
    Tracker,
    TrackSettings,
    smoothing_reach,
    steady_squares,
)
from deepfake_mtl.inference.views import Crop, View

_AT_A_TIME: Final = 10
"""Frames whose squares are worked out together."""

_FORGET: Final = 1500
"""Frames after which a face that was lost does not come back: a minute of video."""

_KEPT_BYTES: Final = 400_000_000
"""Memory for waiting frames, beyond which they wait for less."""


class FaceTracker:
    """Follows every face of a video, and crops it out of each frame that shows it.

    Args:
        detector: Finds faces in a frame.
        settings: How to follow them.
        crop: Crops a face out of a frame.
        kept_bytes: Memory for waiting frames. Where it does not suffice for all that should wait,
            fewer do, and squares near them are less steady.

    Attributes:
        looks: Number of frames in which faces were looked for, so far.
    """

    def __init__(
        self,
        detector: FaceDetector,
        settings: TrackSettings,
        crop: Crop,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self.looks = 0
        self._detector = detector
        self._settings = settings
        self._crop = crop
        self._kept_bytes = kept_bytes
        # A gap that is bridged, what smoothing sees beyond it, and the box after the next one.
        self._reach = settings.gap + smoothing_reach(settings) + 2 * settings.step
        self._tracker = Tracker(settings, forget=max(_FORGET, 2 * self._reach))
        self._numbers: dict[int, int] = {}  # of faces, by identity of their tracks
        self._known: list[Track] = []

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[float, list[View]]]:
        """Yield the time of each frame, in order, with its faces in the order of appearance.

        Args:
            frames: Frames of a video, from the first to the last.
        """
        waiting: deque[tuple[int, Frame]] = deque()
        last = looked = -1
        for last, frame in enumerate(frames):
            waiting.append((last, frame))
            if last % self._settings.step == 0:
                self._look(last, frame)
                looked = last
            wait, at_a_time = self._wait(frame)
            if len(waiting) >= wait + at_a_time:
                yield from self._let_go(waiting, at_a_time)
        if last > looked:
            self._look(*waiting[-1])
        while waiting:
            yield from self._let_go(waiting, _AT_A_TIME)

    def _wait(self, frame: Frame) -> tuple[int, int]:
        """Return how many frames wait, and how many are let go together."""
        fit = self._kept_bytes // max(frame.nbytes, 1)
        at_a_time = max(min(_AT_A_TIME, fit // 4), 1)
        return max(min(self._reach, fit - at_a_time), self._settings.step), at_a_time

    def _look(self, number: int, frame: Frame) -> None:
        self.looks += 1
        self._tracker.update(number, self._detector.detect(frame))
        for track in self._tracker.tracks:
            if id(track) not in self._numbers:
                self._numbers[id(track)] = len(self._known)
                self._known.append(track)  # kept, so that its identity is not given away

    def _let_go(
        self, waiting: deque[tuple[int, Frame]], count: int
    ) -> Iterator[tuple[float, list[View]]]:
        some = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        first, last = some[0][0], some[-1][0]
        present = [
            (self._numbers[id(track)], self._squares(track, first, last))
            for track in self._tracker.tracks
            if track.numbers[0] <= last and track.numbers[-1] >= first
        ]
        for number, frame in some:
            views = []
            for face, squares in present:
                if number in squares:
                    square, found = squares[number]
                    picture, shown = self._crop(frame, square)
                    views.append(View(face, number, picture, shown, float(square[2]), found))
            yield frame.time, views

    def _squares(
        self, track: Track, first: int, last: int
    ) -> dict[int, tuple[NDArray[np.float64], bool | None]]:
        """Return, by frame from the first to the last, where a face is and if it was found."""
        numbers, settings = track.numbers, self._settings
        begin = bisect_left(numbers, first - self._reach)
        # The box before, and one more for the median; unless an age ago.
        while begin > 0 and numbers[begin - 1] >= first - 4 * self._reach:
            begin -= 1
            if numbers[begin] < first - self._reach - 2 * settings.step:
                break
        near = numbers[begin:]
        if not near or near[0] > last:
            return {}
        squares = steady_squares(near, track.boxes[begin:], settings)
        placed: dict[int, tuple[NDArray[np.float64], bool | None]] = {}
        for number in range(max(first, near[0]), min(last, near[-1]) + 1):
            after = bisect_left(near, number)
            found = near[after] == number
            if not found and near[after] - near[after - 1] > settings.gap:
                continue
            looked = number % settings.step == 0 or found
            placed[number] = (squares[number - near[0]], found if looked else None)
        return placed
