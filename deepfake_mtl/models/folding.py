"""BatchNorm folded into convolutions, for inference."""

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norm(network: Network) -> Network:
    """Return a copy in evaluation mode whose convolutions do the work of the BatchNorms after them.

    Folded is every BatchNorm3d that follows a Conv3d in an `nn.Sequential`, as all do in S3D, R3D
    and R(2+1)D. Outputs differ by rounding alone. The copy is for inference: it has other
    parameters than the network, hence another state dict, and is not to be trained.

    Args:
        network: An encoder, or any other module.
    """
    folded = deepcopy(network).eval().requires_grad_(requires_grad=False)
    for sequence in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for (name, _), (following, norm) in pairwise(list(sequence.named_children())):
            owner, last = _last(sequence, name)
            layer = getattr(owner, last)
            if isinstance(layer, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                fused = fuse_conv_bn_eval(layer, norm)
                setattr(owner, last, fused.requires_grad_(requires_grad=False))
                setattr(sequence, following, nn.Identity())
    return folded


def _last(owner: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Find the layer that is computed last: a child, or the last one of a child in sequence."""
    child = getattr(owner, name)
    if isinstance(child, nn.Sequential) and len(child):
        return _last(child, list(child.named_children())[-1][0])
    return owner, name
