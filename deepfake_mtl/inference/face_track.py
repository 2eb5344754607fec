"""What is kept of a face while its video is analysed: scores, and a few clips to be shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.inference.clips import Scored
from deepfake_mtl.inference.verdict import ClipScore
from deepfake_mtl.inference.views import View

_HIGHEST: Final = 3

ShownClip: TypeAlias = tuple[ClipScore, NDArray[np.uint8]]
"""A clip's score, and its frames: RGB, shape (T, size, size, 3)."""


@dataclass(slots=True)
class TopClips:
    """The clips of a face that a page shows.

    Attributes:
        highest: Clips with the highest scores, the highest first; of overlapping ones the first.
        lowest: The clip with the lowest score.
    """

    highest: list[ShownClip] = field(default_factory=list)
    lowest: ShownClip | None = None

    def take(self, clip: ClipScore, frames: NDArray[np.uint8]) -> None:
        """Keep a clip if its score is among the highest, or the lowest."""
        taken = clip, frames
        if self.lowest is None or clip.score < self.lowest[0].score:
            self.lowest = taken
        self.highest.append(taken)
        self.highest.sort(key=lambda each: (-each[0].score, each[0].start))
        kept: list[ShownClip] = []
        for each in self.highest:
            if all(_apart(each[0], other) for other, _ in kept):
                kept.append(each)
        self.highest = kept[:_HIGHEST]


@dataclass(slots=True)
class FaceTrack:
    """A face, or the whole frames, of a video from where it appears to where it disappears.

    Attributes:
        face: Number of the face; see `View`.
        first: First frame in which it is seen.
        last: Last frame in which it is seen, so far.
        frames: Number of frames in which it is seen, so far.
        clips: Scores of its clips.
        outputs: Probabilities of the classes by predictor, one row for each clip.
        skipped: Number of clips that were not scored.
        folded: Whether a clip had to be played forth and back.
        side_sum: Sum over the frames of the side of the face in pixels.
        squares: Number of the frame, left edge, upper edge and side in pixels of each view; where
            asked for.
        top: Clips to be shown.
    """

    face: int
    first: int
    last: int
    frames: int = 0
    clips: list[ClipScore] = field(default_factory=list)
    outputs: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    skipped: int = 0
    folded: bool = False
    side_sum: float = 0.0
    squares: list[tuple[int, float, float, float]] = field(default_factory=list)
    top: TopClips = field(default_factory=TopClips)

    def see(self, view: View, *, keep_square: bool = False) -> None:
        """Take in the face in the next frame that shows it."""
        self.last = view.number
        self.frames += 1
        self.side_sum += view.side
        if keep_square:
            self.squares.append((view.number, *view.square))

    def take(self, scored: Scored, times: Sequence[float]) -> None:
        """Take in a clip that was scored.

        Args:
            scored: The clip and its score.
            times: When frames are shown, in seconds; nan where the file does not tell.
        """
        clip, score, outputs = scored
        kept = ClipScore(
            start=clip.start,
            end=clip.end,
            start_time=_known(times[clip.start]),
            end_time=_known(times[clip.end]),
            score=score,
            side=clip.side,
        )
        self.clips.append(kept)
        self.folded = self.folded or clip.folded
        for name, row in outputs.items():
            self.outputs.setdefault(name, []).append(row)
        self.top.take(kept, clip.frames)


def _apart(one: ClipScore, other: ClipScore) -> bool:
    return one.end < other.start or other.end < one.start


def _known(time: float) -> float | None:
    return None if math.isnan(time) else time
