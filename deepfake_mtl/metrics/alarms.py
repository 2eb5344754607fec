"""How often false and true alarms are raised, counted; for code that needs no tensors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_alarms(
    scores: NDArray[np.floating[Any]], fake: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count false and true alarms at every threshold that makes a difference.

    Args:
        scores: Array [N]: probability of fake, finite.
        fake: Array [N]: whether the video is manipulated.

    Returns:
        Numbers of real and of fake videos with a score of at least each threshold, and the
        thresholds, one for each distinct score; these fall, and the first is infinite.
    """
    order = np.argsort(-scores, kind="stable")
    scores, fake = scores[order], fake[order]
    last_of_level = np.append(scores[1:] != scores[:-1], np.ones(min(len(scores), 1), np.bool_))
    true_alarms = np.concatenate([[0], np.cumsum(fake)[last_of_level]]).astype(np.int64)
    false_alarms = np.concatenate([[0], np.cumsum(~fake)[last_of_level]]).astype(np.int64)
    return false_alarms, true_alarms, np.concatenate([[np.inf], scores[last_of_level]])
