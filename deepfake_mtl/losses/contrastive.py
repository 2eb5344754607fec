"""The contrastive loss with labels, and a figure to watch it by."""

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_mtl.errors import ConfigurationError


def label_informed_info_nce(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor,
    queue_keys: Tensor,
    queue_labels: Tensor,
    *,
    temperature: float = 0.07,
    count_empty: bool = False,
) -> Tensor:
    """Return the InfoNCE loss in which labels say what is alike.

    It is UberNCE of CoCLR (Han et al., NeurIPS 2020, arXiv 2010.09709), in the form that its
    published code trains with: for a query, the mean over its positives of -log softmax, where the
    softmax runs over the own key and the whole queue. Positives are the own key and every key in
    the queue of the same class. The loss is the mean over queries.

    Computed in float32, or in float64 for float64 inputs, also under autocast: similarities in 16
    bits, divided by a small temperature, lose three digits. The matrix product follows
    `torch.set_float32_matmul_precision`. Gradients go to whatever asks for them: keys made under
    `torch.no_grad` get none, as in MoCo.

    Args:
        queries: Float tensor [B, D], normalised here.
        keys: Float tensor [B, D]: the key of each query's own second view, normalised here.
        labels: Int64 tensor [B]: classes of the queries, from 0; a query of unknown class, below 0,
            has its own key as its only positive.
        queue_keys: Float tensor [K, D], normalised here. Take `KeyQueue.snapshot`.
        queue_labels: Int64 tensor [K], -1 for empty slots.
        temperature: What similarities are divided by.
        count_empty: Whether empty slots stand among the negatives, as in CoCLR's code, where they
            hold random directions. By default they are left out.

    Returns:
        A scalar.

    Raises:
        ConfigurationError: The temperature is not positive.
        ValueError: The shapes do not fit.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import label_informed_info_nce
        >>> queries = keys = torch.tensor([[1.0, 0.0]])
        >>> queue, queue_labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> labels = torch.tensor([0])
        >>> label_informed_info_nce(queries, keys, labels, queue, queue_labels, temperature=1.0)
        tensor(0.8620)
    """
    if temperature <= 0:
        raise ConfigurationError(f"temperature is {temperature}, but must be positive")
    _check(queries, labels, queue_keys, queue_labels)
    if keys.shape != queries.shape:
        raise ValueError(
            f"expected one key a query, got queries {list(queries.shape)}, keys {list(keys.shape)}"
        )
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, queue_keys = _unit(queries), _unit(keys), _unit(queue_keys)
        own = (queries * keys).sum(dim=1, keepdim=True)
        logits = torch.cat([own, queries @ queue_keys.T], dim=1) / temperature
        occupied = functional.pad(queue_labels >= 0, (1, 0), value=True)
        same = functional.pad(labels[:, None] == queue_labels, (1, 0), value=True)
        positive = same & occupied
        if not count_empty:
            logits = logits.masked_fill(~occupied, -torch.inf)
        log_likelihood = logits.log_softmax(dim=1).masked_fill(~positive, 0)
        return -(log_likelihood.sum(dim=1) / positive.sum(dim=1)).mean()


@torch.no_grad()
def nearest_key_accuracy(
    queries: Tensor, labels: Tensor, queue_keys: Tensor, queue_labels: Tensor
) -> Tensor:
    """Return the share of queries whose nearest key in the queue is of their class.

    The own key is left out. A queue that is longer than an epoch holds keys of the same videos.

    Args:
        queries: Float tensor [B, D], of any length.
        labels: Int64 tensor [B].
        queue_keys: Float tensor [K, D], of any length.
        queue_labels: Int64 tensor [K], -1 for empty slots, which are left out.

    Returns:
        A scalar from 0 to 1; NaN where all slots are empty or there is no query.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import nearest_key_accuracy
        >>> queries, labels = torch.tensor([[1.0, 0.1], [0.9, 0.0]]), torch.tensor([0, 1])
        >>> queue, queue_labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> nearest_key_accuracy(queries, labels, queue, queue_labels)
        tensor(0.5000)
    """
    _check(queries, labels, queue_keys, queue_labels)
    with torch.autocast(queries.device.type, enabled=False):
        similarity = _unit(queries) @ _unit(queue_keys).T
    occupied = queue_labels >= 0
    nearest = similarity.masked_fill(~occupied, -torch.inf).argmax(dim=1)
    right = (queue_labels[nearest] == labels).float().mean()
    return torch.where(occupied.any(), right, torch.nan)


def _unit(vectors: Tensor) -> Tensor:
    if vectors.dtype != torch.float64:
        vectors = vectors.float()
    return functional.normalize(vectors, dim=1)


def _check(queries: Tensor, labels: Tensor, queue_keys: Tensor, queue_labels: Tensor) -> None:
    if (
        queries.dim() != 2
        or queue_keys.dim() != 2
        or queries.shape[1] != queue_keys.shape[1]
        or labels.shape != queries.shape[:1]
        or queue_labels.shape != queue_keys.shape[:1]
    ):
        raise ValueError(
            "expected queries [B, D], labels [B], queue_keys [K, D] and queue_labels [K], got "
            f"{list(queries.shape)}, {list(labels.shape)}, {list(queue_keys.shape)} and "
            f"{list(queue_labels.shape)}"
        )
