"""The queue of keys that queries are compared with."""

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.distributed import gather_rows, row_counts
from deepfake_mtl.models.precision import FullPrecisionModule

EMPTY = -1
"""Label of a slot in which no key has been put yet."""


class KeyQueue(FullPrecisionModule):
    """The last keys of all ranks and their labels (MoCo, He et al., CVPR 2020, section 3.2).

    A ring: new keys replace the oldest. The batch need not divide the size. Keys are gathered over
    all ranks, so that every rank holds the same queue; DDP, which copies the buffers of rank 0 to
    the others before each forward pass, then changes nothing. Everything is part of the state dict.
    Keys stay in float32 (or float64) where the network goes to 16 bits.

    Attributes:
        keys: Float32 buffer [size, dim]: keys of length one; zeros in empty slots.
        labels: Int64 buffer [size]: their classes, -1 for empty slots.
        pointer: Int64 buffer, a scalar: the slot of the next key.

    Args:
        size: Number of keys.
        dim: Length of a key.

    Raises:
        ConfigurationError: The size or the length is not positive.
    """

    keys: Tensor
    labels: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ConfigurationError(
                f"a queue of {size} keys of length {dim}: both must be 1 or more"
            )
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size,), EMPTY, dtype=torch.int64))
        self.register_buffer("pointer", torch.tensor(0, dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor, *, equal_ranks: bool = False) -> None:
        """Put in a batch of every rank, in the order of the ranks; all ranks must call it.

        Ranks may differ in B, and B may be 0. Of more keys than there are slots the last stay. The
        device is waited for where several ranks may differ in B.

        Args:
            keys: Float tensor [B, dim], normalised here.
            labels: Int64 tensor [B]: classes from 0.
            equal_ranks: Whether B is known to be the same on all ranks.

        Raises:
            ValueError: The shapes do not fit each other or the queue.
        """
        size, dim = self.keys.shape
        if keys.dim() != 2 or keys.shape[1] != dim or labels.shape != keys.shape[:1]:
            raise ValueError(
                f"expected keys [B, {dim}] and labels [B], got {list(keys.shape)} and "
                f"{list(labels.shape)}"
            )
        counts = row_counts(len(keys), keys.device, equal_ranks=equal_ranks)
        keys = gather_rows(functional.normalize(keys.to(self.keys.dtype), dim=1), counts)
        labels = gather_rows(labels, counts)
        total = len(keys)
        kept = min(total, size)
        slots = self.pointer + torch.arange(total - kept, total, device=self.keys.device)
        slots %= size
        self.keys.index_copy_(0, slots, keys[total - kept :])
        self.labels.index_copy_(0, slots, labels[total - kept :])
        self.pointer.add_(total).remainder_(size)

    def snapshot(self) -> tuple[Tensor, Tensor]:
        """Return copies of the keys [size, dim] and labels [size].

        A loss that is computed from the buffers themselves cannot be differentiated once the next
        batch is put in.
        """
        return self.keys.clone(), self.labels.clone()

    def reset(self) -> None:
        """Empty all slots."""
        self.keys.zero_()
        self.labels.fill_(EMPTY)
        self.pointer.zero_()
