"""Which manipulation: how each is found, and with which others it is confused."""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_mtl.metrics.scores import check_shapes


def recall_by_method(
    scores: Tensor, labels: Tensor, methods: Sequence[str], threshold: float = 0.5
) -> dict[str, float | None]:
    """Return the share of the videos of each method that are called what they are.

    Args:
        scores: Float tensor [N] in [0, 1], probability of fake.
        labels: Integer tensor [N], positions in `methods`.
        methods: Names of the labels; the first stands for originals, all others for fakes.
        threshold: A video is called fake if its score is at least this.

    Returns:
        For each fake method the share called fake, and for originals the share called real; None
        where a method has no video.

    Raises:
        ValueError: If shapes disagree or a label is not a position in `methods`.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import recall_by_method
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> recall_by_method(scores, labels, ["original", "Deepfakes", "FaceSwap"])
        {'original': 0.5, 'Deepfakes': 0.5, 'FaceSwap': None}
    """
    check_shapes(scores=scores, labels=labels)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(methods):
        raise ValueError(f"labels must be in [0, {len(methods)})")
    # In float64, or a threshold between two float32 scores would be rounded onto one of them.
    right = (scores.double() >= threshold) == (labels > 0)
    videos = torch.bincount(labels, minlength=len(methods))
    hits = torch.bincount(labels[right], minlength=len(methods))
    return {
        method: int(hit) / int(count) if count else None
        for method, hit, count in zip(methods, hits, videos, strict=True)
    }


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Count videos by what they are and what they are taken for.

    Args:
        labels: Integer tensor [N] in [0, num_classes).
        predictions: Integer tensor [N] in [0, num_classes).
        num_classes: Number of classes.

    Returns:
        Int64 tensor [num_classes, num_classes]; rows are the truth.

    Raises:
        ValueError: If shapes disagree, or a label or a prediction is out of range.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import confusion_matrix
        >>> confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2)
        tensor([[1, 1],
                [0, 1]])
    """
    check_shapes(labels=labels, predictions=predictions)
    both = torch.cat([labels, predictions])
    if len(both) and not 0 <= int(both.min()) <= int(both.max()) < num_classes:
        raise ValueError(f"labels and predictions must be in [0, {num_classes})")
    places = labels.long() * num_classes + predictions.long()
    counts = torch.bincount(places, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes)
