"""Clips out of a stream of views, with no more in memory than a clip of each subject."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.inference.subjects import View


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What the network scores at once.

    Attributes:
        subject: See `View`.
        start: First frame, counted from 0.
        end: Last frame.
        frames: RGB, shape (T, size, size, 3).
        square: Of the frame in the middle; see `View`.
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
    square: tuple[float, float, float]
    side: float
    found: float | None
    folded: bool = False


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Where clips lie in a video.

    Attributes:
        length: Frames of a clip.
        stride: Distance of these frames in frames of the video.
        step: Distance of the starts of overlapping clips, from where a subject appears; one more
            clip ends where it disappears.
        count: Instead of those, so many clips that are evenly spread over the video, as in tests
            (`deepfake_mtl.data.clips.EvaluationClips`); None for overlapping ones.
        frames: Of the video.

    Raises:
        ConfigurationError: A number is out of range.
    """

    length: int
    stride: int
    step: int
    count: int | None
    frames: int

    def __post_init__(self) -> None:
        if min(self.length, self.stride, self.step, self.count or 1) < 1:
            raise ConfigurationError(
                f"clips have length {self.length}, stride {self.stride}, step {self.step}, count "
                f"{self.count}: each must be at least 1"
            )

    @property
    def span(self) -> int:
        """Number of frames from the first to the last of a clip."""
        return (self.length - 1) * self.stride + 1

    def starts(self) -> list[int]:
        """First frames of evenly spread clips; some may be the same."""
        last = max(self.frames - self.span, 0)
        if self.count is None:
            return []
        if self.count == 1:
            return [last // 2]
        return [round(last * place / (self.count - 1)) for place in range(self.count)]


class ClipMaker:
    """Makes clips of one subject, from where it appears to where it disappears.

    Args:
        plan: Where clips lie.
    """

    def __init__(self, plan: ClipPlan) -> None:
        self._plan = plan
        self._held: deque[View] = deque(maxlen=plan.span)
        self._ends = [start + plan.span - 1 for start in plan.starts()]
        self._first = 0
        self._seen = 0
        self._last_end = -1

    @property
    def last(self) -> int:
        """Number of the last frame taken in."""
        return self._held[-1].number

    def push(self, view: View) -> Iterator[Clip]:
        """Take in the next frame; clips that end with it."""
        if not self._seen:
            self._first = view.number
        self._held.append(view)
        self._seen += 1
        plan = self._plan
        if self._seen < plan.span:
            return
        if plan.count is None:
            due = int((self._seen - plan.span) % plan.step == 0)
        else:
            due = self._ends.count(view.number)
        for _ in range(due):
            yield self._clip()

    def close(self) -> Iterator[Clip]:
        """The clips of which it is known only now that nothing follows."""
        plan = self._plan
        if not self._held:
            return
        if self._seen >= plan.span:
            if plan.count is None and self._last_end < self.last:
                yield self._clip()
            return
        everything = self._seen == plan.frames
        if plan.count is None and (everything or 2 * self._seen >= plan.span):
            yield self._clip(folded=True)
        elif everything:
            for _ in range(plan.count or 1):
                yield self._clip(folded=True)

    def _clip(self, *, folded: bool = False) -> Clip:
        plan, held = self._plan, list(self._held)
        places = np.arange(plan.length) * plan.stride
        if folded:
            # As `EvaluationClips` does with a video that is shorter than a clip.
            period = max(2 * (len(held) - 1), 1)
            places %= period
            places = np.minimum(places, period - places)
        self._last_end = held[-1].number
        looks = [view.found for view in held if view.found is not None]
        return Clip(
            subject=held[0].subject,
            start=held[0].number,
            end=held[-1].number,
            frames=np.stack([held[place].picture for place in places]),
            square=held[len(held) // 2].square,
            side=float(np.median([view.side for view in held])),
            found=float(np.mean(looks)) if looks else None,
            folded=folded,
        )
