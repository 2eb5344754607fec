"""Scores as probabilities: scaled on validation videos, and how far off they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import expit, logit  # type: ignore[import-untyped]

from deepfake_mtl.evaluation.statistics.risk import ClassVideos

BINS: Final = 15
"""Number of bins of a reliability diagram (Guo et al. 2017, ICML, section 2)."""

_EDGE: Final = 1e-7  # from 0 and 1, where a score in float32 has no finite logit


@dataclass(frozen=True, slots=True)
class LogitScaling:
    """A line through the logits of scores: 1 / temperature, and what moves 0.5.

    Attributes:
        slope: Not negative; 0 makes every score 0.5.
        offset: Logit of what a score of 0.5 becomes.
    """

    slope: float
    offset: float

    def scale(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn scores into probabilities of fake, in an equal mix of originals and fakes.

        Args:
            scores: Array of any shape, in [0, 1].

        Returns:
            Array of the same shape.
        """
        scaled: NDArray[np.float64] = expit(self.slope * _logits(scores) + self.offset)
        return scaled


def fit_scaling(originals: ClassVideos, fakes: ClassVideos) -> LogitScaling:
    """Fit the most likely scaling (Platt 1999), in which both classes count the same.

    Every person counts the same within a class, too. As Platt has it, a class of N groups of people
    is taken for N + 1 right ones and one wrong of N + 2, so that classes without overlap do not
    become certain.

    Args:
        originals: Original videos of the validation, none of them trained on.
        fakes: Manipulated videos of the validation.

    Raises:
        ValueError: If there are no videos of one class.
    """
    if not (originals.people and fakes.people):
        raise ValueError("a scaling needs originals and fakes")
    logits = _logits(np.concatenate([originals.scores, fakes.scores]))
    weights = np.concatenate([originals.weights, fakes.weights]) / 2
    wanted = np.repeat(
        [1 / (originals.people + 2), (fakes.people + 1) / (fakes.people + 2)],
        [len(originals.scores), len(fakes.scores)],
    )

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = line[0] * logits + line[1]
        entropy = np.logaddexp(0, scaled) - wanted * scaled
        slopes = weights * (expit(scaled) - wanted)
        return float(weights @ entropy), np.array([slopes @ logits, slopes.sum()])

    found = minimize(
        loss,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None), (None, None)],
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    return LogitScaling(*map(float, found.x))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Videos whose probabilities are alike, in a reliability diagram.

    Attributes:
        predicted: Mean of their probabilities of fake.
        fake: Share of fakes among them.
        weight: Share of all videos that they are.
    """

    predicted: float
    fake: float
    weight: float


def reliability(originals: ClassVideos, fakes: ClassVideos) -> list[ReliabilityBin]:
    """Sort videos of both classes, which count the same, into `BINS` bins of equal width.

    Args:
        originals: Original videos, with probabilities of fake for scores.
        fakes: Manipulated videos.

    Returns:
        The bins that hold videos, in the order of their probabilities.
    """
    scores = np.concatenate([originals.scores, fakes.scores])
    weights = np.concatenate([originals.weights, fakes.weights])
    weights = weights / weights.sum()
    places = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    fake = np.arange(len(scores)) >= len(originals.scores)
    totals = [
        np.bincount(places, values, BINS) for values in (weights, weights * scores, weights * fake)
    ]
    return [
        ReliabilityBin(float(predicted / weight), float(fakes_in / weight), float(weight))
        for weight, predicted, fakes_in in zip(*totals, strict=True)
        if weight > 0
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error: how far bins are from what they predict, in the mean.

    Args:
        bins: Bins of `reliability`.

    Returns:
        A number in [0, 1], 0 where every bin holds the share of fakes that it predicts.
    """
    return sum(each.weight * abs(each.predicted - each.fake) for each in bins)


def _logits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = logit(np.clip(scores, _EDGE, 1 - _EDGE))
    return values
