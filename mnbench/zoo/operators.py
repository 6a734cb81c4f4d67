"""Single convolutions with batch normalisation and ReLU6, as they stand in MobileNetV1: what a benchmark of one layer times."""

from __future__ import annotations

from torch import nn

from mnbench.zoo.layers import conv_bn, depthwise, pointwise
from mnbench.zoo.mobilenet_v1 import separable


def standard_convolution(in_channels: int, out_channels: int) -> nn.Module:
    """3x3 standard convolution, (N, in_channels, H, W) to (N, out_channels, H, W)."""
    return conv_bn(in_channels, out_channels, 3)


def depthwise_convolution(in_channels: int) -> nn.Module:
    """3x3 depthwise convolution: the filtering half of a separable one."""
    return depthwise(in_channels, stride=1)


def pointwise_convolution(in_channels: int, out_channels: int) -> nn.Module:
    """1x1 convolution: the combining half."""
    return pointwise(in_channels, out_channels)


def separable_convolution(in_channels: int, out_channels: int) -> nn.Module:
    """Depthwise, then pointwise: what replaces the standard one at 1/out_channels + 1/9 of its MAdds (V1 paper, 3.1)."""
    return separable(in_channels, out_channels, 1)
