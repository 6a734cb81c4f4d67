"""What MobileNetV1 and V2 share: how channels are rounded, and convolutions followed by batch normalisation."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

ROUND_TO = 8


def make_divisible(channels: float) -> int:
    """Round to the nearest multiple of 8, at least 8, and never below 90 % of `channels`.

    The papers print width multipliers but no rounding: this is the rule of the authors' release (TF-slim's
    nets/mobilenet).
    """
    rounded = max(ROUND_TO, int(channels + ROUND_TO / 2) // ROUND_TO * ROUND_TO)
    return rounded + ROUND_TO if rounded < 0.9 * channels else rounded


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, relu6: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation and, unless `relu6` is false, ReLU6. Padded so that stride 1 keeps the size."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    layers["bn"] = nn.BatchNorm2d(out_channels)
    if relu6:
        layers["relu6"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)


def depthwise(channels: int, *, stride: int) -> nn.Sequential:
    """3x3 depthwise convolution, batch normalisation, ReLU6: one filter per channel."""
    return conv_bn(channels, channels, 3, stride=stride, groups=channels)


def pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 convolution, batch normalisation, ReLU6."""
    return conv_bn(in_channels, out_channels, 1)


def linear_pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 convolution and batch normalisation, with no activation: MobileNetV2's linear bottleneck."""
    return conv_bn(in_channels, out_channels, 1, relu6=False)
