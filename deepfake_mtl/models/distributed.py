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


def row_counts(rows: int, device: torch.device, *, equal_ranks: bool = False) -> list[int]:
    """Return the number of rows on every rank, in order; all ranks must call it.

    Where ranks may differ it waits for the device: one exchange of 8 bytes a rank.

    Args:
        rows: Number of rows on this rank.
        device: Where the ranks exchange tensors.
        equal_ranks: Whether all ranks are known to have the same number, as where loaders drop what
            is left of an epoch.
    """
    if equal_ranks or world_size() == 1:
        return [rows] * world_size()
    own = torch.tensor([rows], dtype=torch.int64, device=device)
    counts = own.new_empty(world_size())
    dist.all_gather_into_tensor(counts, own)
    return counts.tolist()


class LateAgreement:
    """Whether any rank has said yes, of which a GPU tells at the next question.

    The host goes on at once: an answer is read when the next question is asked, by which time it
    has long been there. On CPUs, which are not waited for, it is read at once.
    """

    def __init__(self) -> None:
        self._last: tuple[Tensor, torch.Event] | None = None

    def ask(self, says: bool, device: torch.device) -> bool:
        """Return whether any rank said yes, now or at the last question; all ranks must call it.

        Args:
            says: What this rank says.
            device: Device on which ranks exchange tensors.
        """
        if world_size() == 1:
            return says
        flag = torch.tensor([says], dtype=torch.int32).to(device, non_blocking=True)
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        if device.type == "cpu":
            return bool(flag)
        last, self._last = self._last, _copy_to_host(flag)
        if last is None:
            return False
        last[1].synchronize()
        return bool(last[0])


def _copy_to_host(tensor: Tensor) -> tuple[Tensor, torch.Event]:
    """Begin to copy a tensor of a GPU; returns the copy, and when it is there."""
    copy = torch.empty_like(tensor, device="cpu", pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    done = torch.Event(tensor.device)
    done.record()
    return copy, done


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
