"""Probabilities of classes, as the score of one question: real or fake."""

from collections.abc import Sequence
from typing import Final

from torch import Tensor

_REAL: Final = ("real", "original")
"""Names of classes that stand for what is real."""


def fake_probability(probabilities: Tensor) -> Tensor:
    """Return the probability of fake: that of every class but the first, which is what is real.

    Args:
        probabilities: Float tensor [N, C]: the probability of each class.

    Returns:
        Tensor [N] in [0, 1], of the same type.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import fake_probability
        >>> fake_probability(torch.tensor([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]))
        tensor([0.7500, 0.0000])
    """
    return (1 - probabilities[:, 0]).clamp(0, 1)


def tells_fakes(classes: Sequence[str]) -> bool:
    """Return whether a predictor of these classes says how probably a video is fake.

    Args:
        classes: Names of the classes, the first of which is to be what is real.

    Example:
        >>> from deepfake_mtl.metrics import tells_fakes
        >>> tells_fakes(["original", "swap", "reenactment"]), tells_fakes(["indoors", "outdoors"])
        (True, False)
    """
    return classes[0] in _REAL
