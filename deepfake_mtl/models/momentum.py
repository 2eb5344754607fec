"""The key network of MoCo: a copy of the query network that follows it slowly."""

from copy import deepcopy
from typing import Any, Final, Literal, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.distributed import gather_rows, rank, row_counts, world_size
from deepfake_mtl.models.precision import FullPrecisionModule

BatchNormRemedy = Literal["none", "shuffle", "sync", "average"]
BATCH_NORM_REMEDIES: Final[tuple[BatchNormRemedy, ...]] = ("none", "shuffle", "sync", "average")


class MomentumEncoder(FullPrecisionModule):
    """A frozen copy of a network, whose weights are a moving average of that network's.

    Used for the encoder and for each projection head (MoCo, He et al., CVPR 2020, section 3.2).
    The copy starts with the weights of its source, in the same memory format, and is kept in
    float32 (or float64) whatever the source is cast to. It never gets a gradient, and has no use
    in evaluation.

    BatchNorm follows MoCo by default: the copy normalises each batch of keys by that batch, and
    keeps running statistics of its own, which no update touches. With `average_statistics` it
    follows EMAN (Cai et al., CVPR 2021, arXiv 2101.08482): it always normalises by its running
    statistics, and these are a moving average of the source's, like the weights. A key then does
    not depend on the other clips of its batch, so that nothing leaks through them, on any number
    of devices. The price is that statistics lag behind by about 1 / (1 - momentum) steps beyond
    BatchNorm's own lag, which a short run from random weights cannot afford.

    Args:
        source: The query network.
        average_statistics: Whether BatchNorm follows EMAN.

    Raises:
        ConfigurationError: Statistics are to be averaged, but the network keeps none.
    """

    def __init__(self, source: nn.Module, *, average_statistics: bool = False) -> None:
        super().__init__()
        if average_statistics:
            _require_running_statistics(source)
        self.average_statistics = average_statistics
        self.module = deepcopy(source).requires_grad_(False)
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in self.module.parameters()):
            self.module.float()
        self.train(source.training)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the copy makes of the inputs, without a gradient."""
        outputs: Tensor = self.module(inputs)
        return outputs

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; averaged BatchNorm stays in evaluation mode."""
        super().train(mode)
        if self.average_statistics:
            for norm in _batch_norms(self.module):
                norm.eval()
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (PyTorch's)
        """Compile the copy in place, as its source."""
        self.module.compile(*args, **kwargs)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Move the weights towards the source's: w = momentum * w + (1 - momentum) * source.

        Call it once for each step of the optimizer, after the step: under accumulation over N
        micro-batches, a call for each of them would make it momentum to the power of N.

        Args:
            source: The network that was copied.
            momentum: Share of the old weights, from 0 to 1.

        Raises:
            ConfigurationError: The momentum is out of range.
            ValueError: The source has another number of parameters or other shapes.
        """
        if not 0 <= momentum <= 1:
            raise ConfigurationError(f"momentum is {momentum}, but must be from 0 to 1")
        own: list[Tensor] = list(self.module.parameters())
        new: list[Tensor] = list(source.parameters())
        if self.average_statistics:
            own += [b for b in self.module.buffers() if b.is_floating_point()]
            new += [b for b in source.buffers() if b.is_floating_point()]
        if [tensor.shape for tensor in own] != [tensor.shape for tensor in new]:
            raise ValueError(f"{type(source).__name__} is not the network that was copied")
        # In the copy's data type, not in the source's: bfloat16 would never move.
        targets = [n.detach().to(o) for o, n in zip(own, new, strict=True)]
        torch._foreach_lerp_(own, targets, 1 - momentum)


@torch.no_grad()
def shuffled_forward(network: nn.Module, clips: Tensor, *, equal_ranks: bool = False) -> Tensor:
    """Run the key network on clips of all ranks in a random order, and put the keys back in order.

    Through BatchNorm's statistics a query would otherwise know the key that shares its batch
    (MoCo, section 3.3). Each rank takes as many clips as it gave, which may differ between ranks.
    All ranks must call it. The order is drawn from rank 0's default generator.

    Args:
        network: The key network; its outputs are [B, ...].
        clips: Tensor [B, ...], any type but bool.
        equal_ranks: Whether B is known to be the same on all ranks; else the device is waited for.

    Returns:
        Tensor [B, ...]: the outputs for this rank's clips, without a gradient.

    Raises:
        ConfigurationError: There is one rank only.
    """
    if world_size() == 1:
        raise ConfigurationError(_ONE_RANK["shuffle"])
    counts = row_counts(len(clips), clips.device, equal_ranks=equal_ranks)
    start = sum(counts[: rank()])
    own = slice(start, start + len(clips))
    order = torch.randperm(sum(counts)).to(clips.device)
    dist.broadcast(order, src=0)
    outputs = network(gather_rows(clips, counts)[order[own]])
    gathered = gather_rows(outputs, counts)
    return gathered[order.argsort()[own]]


def check_batch_norm_remedy(remedy: BatchNormRemedy, encoder: nn.Module, ranks: int) -> None:
    """Refuse a remedy for the leak through BatchNorm that would do nothing.

    ``none`` always passes. ``shuffle`` (`shuffled_forward`) and ``sync`` (SyncBatchNorm in query
    and key network) need several ranks; ``average`` (`MomentumEncoder.average_statistics`) works on
    any number. ``sync`` makes the statistics of queries and keys those of the larger common batch,
    which says less about a clip, but unlike the other two it does not part the key from its query
    (https://github.com/facebookresearch/moco/issues/46).

    Args:
        remedy: What is asked for.
        encoder: The query network.
        ranks: Number of ranks of the run.

    Raises:
        ConfigurationError: It would do nothing; the message says why.
    """
    if remedy == "none":
        return
    if remedy not in BATCH_NORM_REMEDIES:
        raise ConfigurationError(
            f"unknown remedy {remedy!r}: choose among {', '.join(BATCH_NORM_REMEDIES)}"
        )
    if not _batch_norms(encoder):
        raise ConfigurationError(
            f"{type(encoder).__name__} has no BatchNorm, so nothing leaks through it and remedy "
            f"{remedy!r} would do nothing: use 'none'"
        )
    if remedy == "average":
        _require_running_statistics(encoder)
    elif ranks == 1:
        raise ConfigurationError(_ONE_RANK[remedy])
    elif remedy == "shuffle" and all(isinstance(n, SyncBatchNorm) for n in _batch_norms(encoder)):
        raise ConfigurationError(
            "under SyncBatchNorm all ranks share their statistics, so shuffling clips across ranks "
            "would do nothing: use one of the two"
        )


_ONE_RANK: Final = {
    "shuffle": (
        "shuffling across ranks does nothing on one rank, where a batch has the same BatchNorm "
        "statistics in any order: use 'average' or 'none', or train on several devices"
    ),
    "sync": (
        "SyncBatchNorm does nothing on one rank, where there is nobody to share statistics with: "
        "use 'average' or 'none', or train on several devices"
    ),
}


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def _require_running_statistics(network: nn.Module) -> None:
    norms = _batch_norms(network)
    if not norms or any(norm.running_mean is None for norm in norms):
        raise ConfigurationError(
            f"{type(network).__name__} has no BatchNorm with running statistics to average: use "
            "'none'"
        )
