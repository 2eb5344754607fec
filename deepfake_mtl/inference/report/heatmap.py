"""Where in a clip, over time and space, an encoder found what speaks for fake."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.network import MultiTaskNetwork

_LEAST_CELLS: Final = 7
"""Across a map that is fine enough to be looked at."""


def heat_map(network: MultiTaskNetwork, clip: Tensor) -> NDArray[np.float32] | None:
    """Compute HiResCAM (Draelos and Carin, arXiv 2011.08891) over time and space.

    At each place of an inner layer: activations times the gradient of the log-odds of fake, summed
    over the channels. So a place counts for what it itself does, to first order, to the score; the
    plain Grad-CAM would average the gradient over all places, and with it over time. The layer is
    the last one whose map is at least 7 cells wide, as the last of all has but 4 x 4 x 4.

    Args:
        network: Network in evaluation mode.
        clip: uint8, 3 x T x H x W.

    Returns:
        Shape (T, H, W), at least 0, the largest value 1; zero throughout if nothing speaks for
        fake. None if the encoder has no layer whose outputs have a place in time and space (as
        MViT), or if its gradient is not finite.
    """
    device = next(network.parameters()).device
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 5 and output.requires_grad:
            kept.append(output)

    handles = [module.register_forward_hook(keep) for module in network.encoder.modules()]
    try:
        with torch.enable_grad():
            # Something that needs a gradient, whatever of the network is frozen.
            pixels = (clip[None].to(device).float() / 255).requires_grad_()
            features = network.encoder(pixels)
            task = network.primary
            probabilities = task.predict(features)[task.predictor_names[0]]
            real, fake = probabilities[:, 0], probabilities[:, 1:].sum(dim=1)
            layer = _layer(kept, features)
            if layer is None:
                return None
            (gradient,) = torch.autograd.grad((fake.log() - real.log()).sum(), layer)
    finally:
        for handle in handles:
            handle.remove()
    coarse = (gradient * layer.detach()).sum(dim=1, keepdim=True).relu()
    if not bool(coarse.isfinite().all()):
        return None
    size = tuple(clip.shape[1:])
    fine = functional.interpolate(coarse.float(), size, mode="trilinear", align_corners=False)
    fine = fine[0, 0] / fine.max().clamp_min(torch.finfo(torch.float32).tiny)
    return np.asarray(fine.cpu().numpy(), np.float32)


def _layer(outputs: list[Tensor], features: Tensor) -> Tensor | None:
    """Return the last output that is fine enough, or else the finest that there is."""
    places = [each for each in outputs if each.shape[1] > 3 and each is not features]
    fine = [each for each in places if min(each.shape[3:]) >= _LEAST_CELLS]
    if fine:
        return fine[-1]
    return max(places, key=lambda each: min(each.shape[3:]), default=None)
