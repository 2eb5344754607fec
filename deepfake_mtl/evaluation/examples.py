"""Which videos are shown: by a rule, not by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.protocol import Group, group_of
from deepfake_mtl.evaluation.predictions import Prediction

RULE: Final = (
    "Of originals, of seen and of held-out manipulations alike: the videos called right, and the "
    "videos called wrong, with the scores farthest from 0.5; of equal scores the first by name."
)
"""What `choose_examples` does, in words for the reader of a page."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A video to be shown.

    Attributes:
        prediction: The verdict on it.
        frames: Uint8 array (T, H, W, 3), RGB: a clip of it, as the network sees it.
    """

    prediction: Prediction
    frames: NDArray[np.uint8]


def choose_examples(
    predictions: Sequence[Prediction], held_out: Sequence[str], per_class: int = 2
) -> list[Prediction]:
    """Choose the most confident right and the most confident wrong verdicts by `RULE`.

    Args:
        predictions: Predictions to choose from.
        held_out: Names of the manipulations that were held out.
        per_class: Number, at most, of right and so many wrong ones of originals, of seen and of
            held-out manipulations each.

    Returns:
        The chosen ones in the order of the page: by group, the right ones first, the farthest from
        0.5 first.
    """
    ranked = sorted(predictions, key=lambda each: (-abs(each.score - 0.5), each.key))
    chosen: list[Prediction] = []
    for group in get_args(Group):
        members = [each for each in ranked if group_of(each.method, held_out) == group]
        chosen += [each for each in members if each.is_right][:per_class]
        chosen += [each for each in members if not each.is_right][:per_class]
    return chosen
