"""Operators of S3D on views of four dimensions, for which CUDA has more of the fast kernels.

Where channels lie last in memory, B x C x T x H x W is also (B*T) x C x H x W, and
B x C x T x (H*W): both are views, which cost nothing. Parameters and buffers stay, with their names
and shapes.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.models.convolution import TemporalConv3d
from deepfake_mtl.models.pooling import DeterministicMaxPool3d

Operators: TypeAlias = Literal["volume", "flat_norms", "flat", "flat_padded"]
"""Operators of five dimensions; BatchNorm alone of four; convolutions and pools of four, too; and,
beyond that, four channels of input for the layer that takes three."""


class FlatConv3d(TemporalConv3d):
    """A Conv3d over space alone, or over time alone, as a Conv2d."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        sizes = tuple(map(_triple, (self.stride, self.padding, self.dilation)))
        if _is_temporal(self):
            stride, padding, dilation = (
                (each[0], k) for each, k in zip(sizes, (1, 0, 1), strict=True)
            )
            return _square(
                functional.conv2d(
                    input.flatten(3),
                    weight.flatten(3),
                    bias,
                    stride,
                    padding,
                    dilation,
                    self.groups,
                ),
                input,
            )
        stride, padding, dilation = (each[1:] for each in sizes)
        return _clips(
            functional.conv2d(
                _frames(input), weight.squeeze(2), bias, stride, padding, dilation, self.groups
            ),
            input,
        )


class PaddedConv3d(FlatConv3d):
    """A `FlatConv3d` with one more channel of input, which is zero.

    In 16 bits, kernels for tensor cores want an even number of channels or more.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        one_channel = (0, 0, 0, 0, 0, 0, 0, 1)
        return super()._conv_forward(
            functional.pad(input, one_channel), functional.pad(weight, one_channel), bias
        )


class FlatBatchNorm3d(nn.BatchNorm3d):
    """A BatchNorm3d as a BatchNorm2d."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Normalise B x C x T x H x W."""
        return _square(super().forward(input.flatten(3)), input)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Accept four dimensions."""


class FlatMaxPool3d(DeterministicMaxPool3d):
    """A MaxPool3d over space, and then over time. Of equal values, it takes the same one.

    Where deterministic operations are asked for, it is a `DeterministicMaxPool3d`: on CUDA, the
    gradient of MaxPool2d adds in no fixed order.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Take the largest values of B x C x T x H x W."""
        if torch.are_deterministic_algorithms_enabled():
            return super().forward(input)
        (kt, *ks), (st, *ss), (pt, *ps) = map(
            _triple, (self.kernel_size, self.stride, self.padding)
        )
        outputs = _clips(functional.max_pool2d(_frames(input), ks, ss, ps), input)
        if (kt, st) == (1, 1):
            return outputs
        pooled = functional.max_pool2d(outputs.flatten(3), (kt, 1), (st, 1), (pt, 0))
        return _square(pooled, outputs)


def use_flat_operators(network: nn.Module, operators: Operators) -> None:
    """Let layers of a network compute in four dimensions, in place.

    Args:
        network: Network whose tensors are laid out in `torch.channels_last_3d`, without
            convolutions over space and time at once, and without dilated pools.
        operators: Which layers do.
    """
    if operators == "volume":
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.__class__ = FlatBatchNorm3d
        elif isinstance(module, nn.ReLU):
            # What it would replace is a view, whose gradient then has to be copied.
            module.inplace = False
        elif operators == "flat_norms":
            continue
        elif isinstance(module, nn.Conv3d):
            padded = operators == "flat_padded" and module.in_channels == 3
            module.__class__ = PaddedConv3d if padded else FlatConv3d
        elif isinstance(module, nn.MaxPool3d):
            module.__class__ = FlatMaxPool3d


def _is_temporal(layer: nn.Conv3d) -> bool:
    return (*layer.kernel_size[1:], *layer.stride[1:], *layer.padding[1:]) == (1, 1, 1, 1, 0, 0)


def _triple(value: str | int | tuple[int, ...]) -> tuple[int, int, int]:
    if isinstance(value, str):
        raise TypeError("no layer of S3D is padded by a name")
    return (value, value, value) if isinstance(value, int) else (value[0], value[1], value[2])


def _frames(clips: Tensor) -> Tensor:
    """View B x C x T x H x W as (B*T) x C x H x W."""
    return clips.transpose(1, 2).flatten(0, 1)


def _clips(frames: Tensor, clips: Tensor) -> Tensor:
    """View (B*T) x C x H x W as B x C x T x H x W, with B and T of these clips."""
    return frames.view(clips.shape[0], clips.shape[2], *frames.shape[1:]).transpose(1, 2)


def _square(flat: Tensor, clips: Tensor) -> Tensor:
    """View B x C x T x (H*W) as B x C x T x H x W, with H and W of these clips."""
    return flat.view(*flat.shape[:3], *clips.shape[3:])
