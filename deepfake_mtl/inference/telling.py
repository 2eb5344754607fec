"""The most telling moments of a video: clips that are kept for the page."""

from dataclasses import dataclass, field
from typing import Final

from deepfake_mtl.inference.scoring import ScoredClip

_SUBJECTS: Final = 12
_HIGHEST: Final = 3


@dataclass(slots=True)
class Moments:
    """Of one subject.

    Attributes:
        highest: Clips with the highest scores, the highest first; of overlapping ones the first.
        lowest: The clip with the lowest score.
    """

    highest: list[ScoredClip] = field(default_factory=list)
    lowest: ScoredClip | None = None

    def take(self, scored: ScoredClip) -> None:
        """Keep a clip if it is more telling than those that are kept."""
        if self.lowest is None or scored.score < self.lowest.score:
            self.lowest = scored
        self.highest.append(scored)
        self.highest.sort(key=lambda each: (-each.score, each.clip.start))
        kept: list[ScoredClip] = []
        for each in self.highest:
            if all(_apart(each, other) for other in kept):
                kept.append(each)
        self.highest = kept[:_HIGHEST]


class TellingMoments:
    """The moments of the subjects with the highest scores; of a few, so that memory is bounded.

    Attributes:
        moments: By number of the subject.
    """

    def __init__(self) -> None:
        self.moments: dict[int, Moments] = {}

    def take(self, scored: ScoredClip) -> None:
        """Keep a clip if it is telling."""
        self.moments.setdefault(scored.clip.subject, Moments()).take(scored)
        if len(self.moments) > _SUBJECTS:
            least = min(self.moments, key=lambda each: self.moments[each].highest[0].score)
            del self.moments[least]


def _apart(one: ScoredClip, other: ScoredClip) -> bool:
    return one.clip.end < other.clip.start or other.clip.end < one.clip.start
