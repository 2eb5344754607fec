"""Clips out of a stream of views, with no more in memory than a clip of each subject."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.clip_positions import ClipPositions
from deepfake_mtl.inference.subjects import View


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What the network scores at once.

    Attributes:
        subject: See `View`.
        start: First frame, counted from 0.
        end: Last frame.
        frames: RGB, shape (T, size, size, 3).
        side: Of the face in pixels, the median.
        found: Share of the frames looked at in which the face was found; None where no frame was
            looked at.
        folded: Whether the subject was there too briefly, so that its frames are played forth and
            back.
    """

    subject: int
    start: int
    end: int
    frames: NDArray[np.uint8]
    side: float
    found: float | None
    folded: bool = False


class ClipMaker:
    """Makes clips of one subject, from where it appears to where it disappears.

    Args:
        positions: Which frames a clip is made of.
        frames: Number of frames in the video.
        step: Distance between the starts of overlapping clips, from where a subject appears; one
            more clip ends where it disappears.
        count: Instead of those, number of clips that are evenly spread over the video, as in tests
            (`deepfake_mtl.data.clips.EvaluationClips`); None for overlapping ones.
    """

    def __init__(
        self, positions: ClipPositions, *, frames: int, step: int, count: int | None
    ) -> None:
        self._positions = positions
        self._frames = frames
        self._step = step
        self._count = count
        starts = [] if count is None else positions.spread(frames, count)
        self._ends = [start + positions.span - 1 for start in starts]
        self._held: deque[View] = deque(maxlen=positions.span)
        self._seen = 0
        self._last_end = -1

    @property
    def last(self) -> int:
        """Number of the last frame taken in."""
        return self._held[-1].number

    def push(self, view: View) -> Iterator[Clip]:
        """Take in the next frame; clips that end with it."""
        self._held.append(view)
        self._seen += 1
        span = self._positions.span
        if self._seen < span:
            return
        if self._count is None:
            due = int((self._seen - span) % self._step == 0)
        else:
            due = self._ends.count(view.number)
        for _ in range(due):
            yield self._clip()

    def close(self) -> Iterator[Clip]:
        """Yield the clips of which it is known only now that nothing follows."""
        span = self._positions.span
        if not self._held:
            return
        if self._seen >= span:
            if self._count is None and self._last_end < self.last:
                yield self._clip()
            return
        everything = self._seen == self._frames
        if everything or (self._count is None and 2 * self._seen >= span):
            for _ in range(self._count or 1):
                yield self._clip()

    def _clip(self) -> Clip:
        held = list(self._held)
        self._last_end = held[-1].number
        looks = [view.found for view in held if view.found is not None]
        return Clip(
            subject=held[0].subject,
            start=held[0].number,
            end=held[-1].number,
            frames=np.stack([held[place].picture for place in self._positions.offsets(len(held))]),
            side=float(np.median([view.side for view in held])),
            found=float(np.mean(looks)) if looks else None,
            folded=len(held) < self._positions.span,
        )
