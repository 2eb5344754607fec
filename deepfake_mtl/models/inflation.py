"""From networks for images to networks for clips (Carreira & Zisserman, CVPR 2017)."""

import math

import torch
from torch import Tensor


def repeat_over_time(kernel: Tensor, length: int) -> Tensor:
    """Repeat a kernel over time and divide it by the length, as I3D does (section 3).

    Where a clip stands still, the outcome is that of the kernel on the picture, except at the first
    and last frames, where part of the kernel meets the padding.

    Args:
        kernel: O x I x h x w.
        length: Number of frames t that the new kernel spans.

    Returns:
        Kernel, O x I x t x h x w.
    """
    return kernel.unsqueeze(2).expand(-1, -1, length, -1, -1) / length


def one_frame(kernel: Tensor) -> Tensor:
    """Turn a kernel (O x I x h x w) into one that spans a single frame (O x I x 1 x h x w)."""
    return kernel.unsqueeze(2)


def identity_over_time(channels: int, length: int) -> Tensor:
    """Return a kernel (channels x channels x length x 1 x 1) that hands on the frame it is at."""
    kernel = torch.zeros(channels, channels, length, 1, 1)
    torch.nn.init.dirac_(kernel)
    return kernel


def identity_norm(weight: Tensor, bias: Tensor, eps: float) -> dict[str, Tensor]:
    """Return a BatchNorm that hands on what an earlier BatchNorm and ReLU have left.

    With running statistics m and v, weight sqrt(v + eps) and bias m, BatchNorm is the identity in
    evaluation for any m and v. In training it is the identity where a batch has mean m and variance
    v. The earlier BatchNorm gives each channel the mean `bias` and, as deviation, the size of
    `weight`; were its outputs normally distributed, ReLU would turn these into the mean and the
    variance of a rectified normal distribution, and these are taken for m and v. (m = 0 and v = 1
    would be the identity in evaluation too, but every training batch would be shifted to mean zero
    and its lower half cut off by the next ReLU.)

    Args:
        weight: Weight of the earlier BatchNorm, C.
        bias: Bias of the convolution, C.
        eps: Epsilon of the new BatchNorm.

    Returns:
        ``weight``, ``bias``, ``running_mean`` and ``running_var``, each C, float32.
    """
    mean = bias.double()
    deviation = weight.double().abs().clamp_min(1e-12)
    ratio = mean / deviation
    positive = torch.special.ndtr(ratio)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    first = mean * positive + deviation * density
    second = (mean**2 + deviation**2) * positive + mean * deviation * density
    variance = (second - first**2).clamp_min(0)
    return {
        "weight": (variance + eps).sqrt().float(),
        "bias": first.float(),
        "running_mean": first.float(),
        "running_var": variance.float(),
    }
