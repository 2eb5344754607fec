"""Classes by a vote of the nearest keys."""

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def neighbour_vote(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Return the probability of each class by a weighted vote of the k nearest keys.

    A key's vote for its class is exp(cosine / temperature) (Wu et al., CVPR 2018, arXiv
    1805.01978, section 3.4). Computed in float32, or in float64 for float64 queries.

    Args:
        queries: Float tensor [N, D], of any length.
        keys: Float tensor [K, D], of any length.
        labels: Int64 tensor [K]: class of each key; below 0 for empty slots, which have no vote.
        num_classes: Number C of classes.
        k: Number of keys that vote; all of them where there are fewer.
        temperature: What cosines are divided by.

    Returns:
        Float tensor [N, C]; each row sums to 1. Without any key all classes are equally likely.

    Raises:
        ValueError: The shapes do not fit, or k or the temperature is not positive.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import neighbour_vote
        >>> keys, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> neighbour_vote(torch.tensor([[3.0, 3.0]]), keys, labels, num_classes=2)
        tensor([[0.5000, 0.5000]])
    """
    if (
        queries.dim() != 2
        or keys.dim() != 2
        or queries.shape[1] != keys.shape[1]
        or labels.shape != keys.shape[:1]
    ):
        raise ValueError(
            "expected queries [N, D], keys [K, D] and labels [K], got "
            f"{list(queries.shape)}, {list(keys.shape)} and {list(labels.shape)}"
        )
    if k < 1 or temperature <= 0:
        raise ValueError(f"k is {k} and temperature {temperature}, but both must be positive")
    dtype = torch.float64 if queries.dtype == torch.float64 else torch.float32
    known = labels >= 0
    keys, labels = keys[known], labels[known]
    if len(keys) == 0:
        return queries.new_full((len(queries), num_classes), 1 / num_classes, dtype=dtype)
    with torch.autocast(queries.device.type, enabled=False):
        cosine = functional.normalize(queries.to(dtype)) @ functional.normalize(keys.to(dtype)).T
    nearest, index = cosine.topk(min(k, len(keys)), dim=1)
    # Softmax over the votes is the same as dividing by their sum, and cannot overflow.
    votes = (nearest / temperature).softmax(dim=1)
    # A sum over products, since a GPU adds what is scattered in any order.
    belongs = labels[index].unsqueeze(-1) == torch.arange(num_classes, device=labels.device)
    return (votes.unsqueeze(-1) * belongs).sum(dim=1)
