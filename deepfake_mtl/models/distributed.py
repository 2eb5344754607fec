"""Rows of tensors from all ranks, for the parts of MoCo that must be the same on each."""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

_Value = TypeVar("_Value")


def world_size() -> int:
    """Return the number of ranks, 1 where torch.distributed is not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this rank, 0 where torch.distributed is not initialised."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def of_all_ranks(own: _Value) -> list[_Value]:
    """Return what each rank has, in order; all ranks must call it.

    Args:
        own: What this rank has, of any type that can be pickled.
    """
    if world_size() == 1:
        return [own]
    gathered = [own] * world_size()
    dist.all_gather_object(gathered, own)
    return gathered


def row_counts(rows: int, device: torch.device) -> list[int]:
    """Return the number of rows on every rank, in order; all ranks must call it.

    On several ranks it waits for the device, the price of batches that may be uneven: one exchange
    of 8 bytes a rank.

    Args:
        rows: Number of rows on this rank.
        device: Where the ranks exchange tensors.
    """
    if world_size() == 1:
        return [rows]
    own = torch.tensor([rows], dtype=torch.int64, device=device)
    counts = own.new_empty(world_size())
    dist.all_gather_into_tensor(counts, own)
    return counts.tolist()


@torch.no_grad()
def gather_rows(tensor: Tensor, counts: Sequence[int]) -> Tensor:
    """Concatenate the rows of all ranks, in the order of the ranks; all ranks must call it.

    Plain `all_gather` returns garbage, or aborts, where ranks differ in their number of rows: here
    shorter ones are padded on the way. No gradient goes back.

    Args:
        tensor: Any but bool, [counts[rank], ...]; the other dimensions are equal on all ranks.
        counts: Number of rows on every rank, from `row_counts`.

    Returns:
        Tensor [sum(counts), ...], equal on all ranks.
    """
    if len(counts) == 1:
        return tensor.detach()
    longest = max(counts)
    padded = tensor.new_zeros((longest, *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    gathered = tensor.new_empty((len(counts) * longest, *tensor.shape[1:]))
    dist.all_gather_into_tensor(gathered, padded)
    parts = torch.split(gathered, longest)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


@torch.no_grad()
def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one data type by their means over all ranks, in one exchange.

    All ranks must call it, with the same shapes.
    """
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))
