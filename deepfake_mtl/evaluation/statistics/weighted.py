"""Metrics of weighted videos, for many sets of weights at once.

A resample of the videos is nothing but a weight for each: how many times it was drawn.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHUNK: Final = 1 << 20  # numbers worked on at a time: they stay in the processor's cache


def weighted_auc(
    scores: NDArray[np.float64], fake: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the area under the ROC by ranks: one sort, whatever the number of weights.

    Args:
        scores: Array [N]: probability of fake.
        fake: Array [N]: whether the video is manipulated.
        weights: Array [B, N], not negative.

    Returns:
        Array [B]: for each set of weights the chance that a fake scores above an original, ties
        counting half; NaN where one of the classes has no weight.
    """
    order = np.argsort(scores, kind="stable")
    scores, fake = scores[order], fake[order]
    levels = scores[fake]
    # Positions of originals below, and not above, the score of each fake.
    originals = scores[~fake]
    below = np.searchsorted(originals, levels, side="left")
    up_to = np.searchsorted(originals, levels, side="right")
    fake_places, original_places = order[fake], order[~fake]
    areas = np.full(len(weights), np.nan)
    for chunk in _chunks(weights):
        of_fakes = weights[chunk][:, fake_places]
        passed = np.zeros((len(of_fakes), len(originals) + 1))
        np.cumsum(weights[chunk][:, original_places], axis=1, out=passed[:, 1:])
        area = (of_fakes * (passed[:, below] + passed[:, up_to])).sum(axis=1) / 2
        total = of_fakes.sum(axis=1) * passed[:, -1]
        np.divide(area, total, out=areas[chunk], where=total > 0)
    return areas


def weighted_accuracy(
    scores: NDArray[np.float64],
    fake: NDArray[np.bool_],
    weights: NDArray[np.float64],
    threshold: float,
) -> NDArray[np.float64]:
    """Compute the share of the weight of videos that are called what they are.

    Args:
        scores: Array [N]: probability of fake.
        fake: Array [N]: whether the video is manipulated.
        weights: Array [B, N], not negative.
        threshold: A video is called fake if its score is at least this.

    Returns:
        Array [B]; NaN where one of the classes has no weight, as with the area, so that all metrics
        of a set of videos are of the same resamples.
    """
    right = ((scores >= threshold) == fake).astype(np.float64)
    shares = np.full(len(weights), np.nan)
    of_fakes = weights @ fake.astype(np.float64)
    total = weights.sum(axis=1)
    both = (of_fakes > 0) & (of_fakes < total)
    np.divide(weights @ right, total, out=shares, where=both)
    return shares


def _chunks(weights: NDArray[np.float64]) -> list[slice]:
    rows = max(1, _CHUNK // max(1, weights.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(weights), rows)]
