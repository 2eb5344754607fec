"""Probabilities of classes, as the score of one question: real or fake."""

from collections.abc import Sequence
from typing import Final

from torch import Tensor

_REAL: Final = ("real", "original")
"""Names of classes that stand for what is real."""


def check_shapes(**tensors: Tensor) -> None:
    """Refuse tensors that are not all of one shape [N].

    Args:
        **tensors: Tensors by the names that messages give them.

    Raises:
        ValueError: Shapes disagree.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors.values()]
    if len(shapes[0]) != 1 or len(set(shapes)) > 1:
        names, found = " and ".join(tensors), " and ".join(map(str, shapes))
        raise ValueError(f"{names} must be of one shape [N]; they are {found}")


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
