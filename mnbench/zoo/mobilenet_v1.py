"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861), and the two variants its Tables 4 and 5 compare it with.

The activation is ReLU6. The paper writes ReLU, but the weights its authors released (TF-slim) and those of timm's
`mobilenetv1_100` were trained with ReLU6: with ReLU they would compute something else wherever an activation passes 6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mnbench.zoo.layers import conv_bn, depthwise, make_divisible, pointwise

STEM_CHANNELS = 32

# Table 1. Each row is a pair "Conv dw" and "Conv 1x1", repeated n times.
BODY = (
    # c, s, n: channels after the pair, stride of its depthwise layer, repeats
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 2, 1),
    (512, 1, 5),
    (1024, 2, 1),
    (1024, 1, 1),  # printed as stride 2, but the size stays 7x7: stride 1
)

SHALLOW_BODY = tuple(row for row in BODY if row != (512, 1, 5))
"""Table 5: without the five pairs of 14x14x512."""

Block = Callable[[int, int, int], nn.Module]
"""in_channels, out_channels, stride -> one row of the body."""


def separable(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Depthwise-separable convolution: filter each channel, then combine the channels (section 3.1)."""
    return nn.Sequential(
        OrderedDict(
            depthwise=depthwise(in_channels, stride=stride),
            pointwise=pointwise(in_channels, out_channels),
        )
    )


def full_convolution(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The standard 3x3 convolution that a separable one factorises."""
    return conv_bn(in_channels, out_channels, 3, stride=stride)


class MobileNetV1(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes). H and W are multiples of 32 in the paper, and need not be."""

    def __init__(
        self,
        width: float = 1.0,
        *,
        body: Sequence[tuple[int, int, int]] = BODY,
        block: Block = separable,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        channels = make_divisible(STEM_CHANNELS * width)
        features: list[nn.Module] = [conv_bn(3, channels, 3, stride=2)]
        for c, s, n in body:
            for repeat in range(n):
                out_channels = make_divisible(c * width)
                features.append(block(channels, out_channels, s if repeat == 0 else 1))
                channels = out_channels
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def mobilenet_v1(width: float = 1.0) -> MobileNetV1:
    """MobileNetV1 as in Table 1, all channels multiplied by `width` (the paper's alpha)."""
    return MobileNetV1(width)


def conv_mobilenet(width: float = 1.0) -> MobileNetV1:
    """Conv MobileNet of Table 4: a standard 3x3 convolution in the place of each separable one."""
    return MobileNetV1(width, block=full_convolution)


def shallow_mobilenet(width: float = 1.0) -> MobileNetV1:
    """Shallow MobileNet of Table 5: without the five pairs of 14x14x512."""
    return MobileNetV1(width, body=SHALLOW_BODY)
