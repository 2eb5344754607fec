"""Decisions with a stated risk: fake, real, or undecided.

A threshold is chosen on validation videos so that, of videos like those, at most a stated share is
decided wrongly. The promise is one of risk control (Bates et al. 2021, Journal of the ACM 68, 43;
Angelopoulos et al. 2021, "Learn then Test", arXiv 2110.01052): over the draw of the people of the
validation, it holds with a confidence of `CONFIDENCE`. What cannot be promised is undecided.

People are what is drawn, not videos and not clips: the risk is that of a video of a person who is
drawn at random, and all videos of one person together count once.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, rel_entr  # type: ignore[import-untyped]

from deepfake_mtl.evaluation.predictions import Prediction
from deepfake_mtl.evaluation.statistics.bootstrap import identity_groups

Decision = Literal["fake", "real", "undecided"]

RISK: Final = 0.05
"""Share of videos that may be decided wrongly, where nothing else is asked for."""

CONFIDENCE: Final = 0.95
"""The chance, over the people of the validation, with which a promise holds."""

MOST_FACES: Final = 8
"""Number of faces in a video above which it is never called fake."""

_ROUNDING: Final = 1e-9  # sums of shares of people are off by less
_SECTIONS: Final = 100  # of an interval that holds a bound, at a time
_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class ClassVideos:
    """The validation videos of one class.

    Attributes:
        scores: Array [N]: probability of fake.
        weights: Array [N], of sum 1: the same for every group of people, shared by its videos.
        people: Number of groups of people that share no video of this class with each other.
        single: Whether each group has one video, so that its share of wrong videos is 0 or 1.
    """

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    people: int
    single: bool

    @classmethod
    def of(cls, predictions: Sequence[Prediction], *, fake: bool) -> "ClassVideos":
        """Take the videos of one class.

        Args:
            predictions: Predictions of any classes. A video without identities is taken for one of
                a person of its own: without them, the promise is no better than that assumption.
            fake: Whether the manipulated videos are wanted, or the originals.
        """
        videos = [each for each in predictions if each.label == fake]
        groups = identity_groups({each.key: each.identities for each in videos})
        numbers = np.array([groups[each.key] for each in videos], dtype=np.int64)
        sizes = np.bincount(numbers)
        return cls(
            scores=np.array([each.score for each in videos], dtype=np.float64),
            weights=1 / (len(sizes) * sizes[numbers]) if videos else np.zeros(0),
            people=len(sizes),
            single=bool((sizes == 1).all()),
        )

    def turned(self) -> "ClassVideos":
        """Return the same videos with scores that rise with how real they look."""
        return replace(self, scores=-self.scores)

    def share(self, threshold: float) -> float:
        """Return the share of videos with at least this score, the mean over people."""
        return min(1.0, float(self.weights[self.scores >= threshold].sum()))


@dataclass(frozen=True, slots=True)
class Promise:
    """What the validation supports of one decision, "fake" or "real".

    Attributes:
        risk: Share of the videos of the other class that may be given this decision.
        threshold: Lowest score that is called fake, or highest that is called real; None where the
            decision is never taken.
        people: Number of groups of people of the other class in the validation.
        missing: Number of groups that the validation lacks at least for this risk; 0 if enough.
        error: Share of the other class in the validation that gets this decision, the mean over
            people; 0 without a threshold.
        bound: Share of the other class that gets this decision at most, by `CONFIDENCE`.
        found: Share of the own class in the validation that gets this decision, the mean over
            people; 0 without a threshold.
    """

    risk: float
    threshold: float | None
    people: int
    missing: int
    error: float
    bound: float
    found: float


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When a video is called fake, when real, and what is promised of either.

    Attributes:
        fake: Promises of the decision "fake" for videos of 1, 2, ... `MOST_FACES` faces. With more
            faces there are more chances that one of them is called fake wrongly, so that each
            is given its share of the risk, which is that of the video.
        real: Promise of the decision "real", for any number of faces: of a fake video one face at
            least is manipulated, and all of them must look real.
    """

    fake: tuple[Promise, ...]
    real: Promise

    @property
    def can_tell(self) -> bool:
        """Whether there are scores that support a decision; else the detector cannot tell."""
        return any(each.threshold is not None for each in (*self.fake, self.real))

    def decide(self, scores: Sequence[float]) -> Decision:
        """Decide about a video.

        Args:
            scores: Probability of fake of each face, or of the whole frames; any number.
        """
        if not scores:
            return "undecided"
        highest = max(scores)
        fake = self.fake[len(scores) - 1].threshold if len(scores) <= len(self.fake) else None
        if fake is not None and highest >= fake:
            return "fake"
        real = self.real.threshold
        return "real" if real is not None and highest <= real else "undecided"


def calibrate_decisions(
    originals: ClassVideos, fakes: ClassVideos, fake_risk: float = RISK, real_risk: float = RISK
) -> DecisionRule:
    """Choose the thresholds that decide as many videos as the risks allow.

    A decision is taken only if it says something: if it is given to a larger share of its own class
    than `risk`, the share of the other class that may get it, with the same confidence. A detector
    that has learnt nothing would else call 5 % of all videos fake, real and fake ones alike.

    Args:
        originals: Original videos of the validation, none of them trained on.
        fakes: Manipulated videos of the validation.
        fake_risk: Share of original videos that may be called fake, above 0 and below 1.
        real_risk: Share of manipulated videos that may be called real, above 0 and below 1.

    Returns:
        The rule. It holds for videos like those of the validation, and not for manipulations,
        compressions or people of another kind.

    Raises:
        ValueError: If a risk is out of range.
    """
    fake = least_threshold(originals, fake_risk)
    real = least_threshold(fakes.turned(), real_risk)
    if fake is not None and real is not None and fake <= -real:
        # The classes are so far apart that the scores between may be called either.
        fake = (fake - real) / 2
        real = -math.nextafter(fake, -math.inf)
    promises = []
    for faces in range(1, MOST_FACES + 1):
        own = least_threshold(originals, fake_risk / faces)
        threshold = None if own is None or fake is None else max(own, fake)
        promises.append(_promise(originals, fakes, fake_risk, threshold, faces))
    found = _promise(fakes.turned(), originals.turned(), real_risk, real, 1)
    return DecisionRule(
        fake=tuple(promises),
        real=replace(found, threshold=None if found.threshold is None else -found.threshold),
    )


def least_threshold(wronged: ClassVideos, risk: float) -> float | None:
    """Return the lowest threshold that keeps a risk.

    The share of videos above a threshold falls with it, so that all thresholds may be tried, and
    the lowest that passes be taken, without a correction for their number.

    Args:
        wronged: Videos that should score below the threshold.
        risk: Share of them that may not, above 0 and below 1.

    Returns:
        The lowest score that is above it; None if there are too few people for this risk.

    Raises:
        ValueError: If the risk is out of range.
    """
    if not 0 < risk < 1:
        raise ValueError(f"a risk is above 0 and below 1, not {risk}")
    levels, places = np.unique(wronged.scores, return_inverse=True)
    weights = np.bincount(places, wronged.weights, len(levels))
    above = weights[::-1].cumsum()[::-1] - weights

    def passes(place: int) -> bool:
        chance = _tail(above[place], wronged.people, risk, single=wronged.single)
        return bool(chance <= 1 - CONFIDENCE)

    first = bisect_left(range(len(levels)), True, key=passes)
    return None if first == len(levels) else math.nextafter(float(levels[first]), math.inf)


def people_needed(risk: float) -> int:
    """Return how many groups of people promise a risk, if none of their videos is wrong.

    Args:
        risk: Share of videos that may be wrong, above 0 and below 1.

    Example:
        >>> from deepfake_mtl.evaluation.statistics.risk import people_needed
        >>> people_needed(0.05), people_needed(0.01)
        (59, 299)
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-risk))


def risk_bound(error: float, people: int, *, single: bool) -> float:
    """Return what a risk is at most, with a confidence of `CONFIDENCE`.

    Args:
        error: Share of wrong videos, the mean over the people.
        people: Number of groups of people.
        single: Whether each of them has one video; then the bound is that of Clopper and Pearson
            (1934), else that of Hoeffding and Bentkus (Bates et al. 2021), which holds for any
            shares.

    Returns:
        A number in [0, 1].
    """
    low, high = error, 1.0
    for _ in range(_ROUNDS if people else 0):
        risks = np.linspace(low, high, _SECTIONS + 1)
        possible = _tail(error, people, risks, single=single) > 1 - CONFIDENCE
        first = min(int(possible.sum()), _SECTIONS)
        low, high = float(risks[max(0, first - 1)]), float(risks[first])
    return high


def _tail(
    error: float, people: int, risk: NDArray[np.float64] | float, *, single: bool
) -> NDArray[np.float64]:
    """Return an upper limit of the chance of so small an error, or a smaller one, at this risk."""
    binomial: NDArray[np.float64] = bdtr(np.ceil(error * people - _ROUNDING), people, risk)
    if single:
        return binomial
    low = np.minimum(error, risk)
    divergence = rel_entr(low, risk) + rel_entr(1 - low, 1 - risk)
    shares: NDArray[np.float64] = np.minimum(np.exp(-people * divergence), math.e * binomial)
    return shares


def _promise(
    wronged: ClassVideos, own: ClassVideos, risk: float, threshold: float | None, faces: int
) -> Promise:
    """Describe a decision that is given from a threshold upwards, and refuse one that is a coin."""
    error = found = 0.0
    if threshold is not None:
        found = own.share(threshold)
        chance = _tail(1 - found, own.people, 1 - risk, single=own.single)
        if chance <= 1 - CONFIDENCE:
            error = wronged.share(threshold)
        else:
            threshold, found = None, 0.0
    bound = 0.0 if threshold is None else risk_bound(error, wronged.people, single=wronged.single)
    return Promise(
        risk=risk,
        threshold=threshold,
        people=wronged.people,
        missing=max(0, people_needed(risk / faces) - wronged.people),
        error=error,
        bound=min(1.0, faces * bound),
        found=found,
    )
