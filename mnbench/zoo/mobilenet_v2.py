"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381)."""

from __future__ import annotations

from torch import Tensor, nn

from mnbench.zoo.layers import conv_bn, depthwise, linear_pointwise, make_divisible, pointwise

STEM_CHANNELS = 32
LAST_CHANNELS = 1280

# Table 2. Its rows sum to 17 bottlenecks, where the paper's text says 19.
BODY = (
    # t, c, n, s: expansion, output channels, repeats, stride of the first repeat
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """The paper's bottleneck (Table 1): from narrow to wide and back, with the shortcut between the narrow ends."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = pointwise(in_channels, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = depthwise(hidden, stride=stride)
        self.project = linear_pointwise(hidden, out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, narrow: Tensor) -> Tensor:
        wide = self.expand(narrow)
        wide = self.depthwise(wide)
        projected: Tensor = self.project(wide)
        return narrow + projected if self.has_shortcut else projected


class MobileNetV2(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes). All channels are multiplied by `width`, rounded to multiples of 8.

    The last convolution is widened with `width` above 1 but never narrowed (section 6.1 of the paper).
    """

    def __init__(self, width: float = 1.0, *, classes: int = 1000) -> None:
        super().__init__()
        channels = make_divisible(STEM_CHANNELS * width)
        last_channels = make_divisible(LAST_CHANNELS * max(1.0, width))
        features: list[nn.Module] = [conv_bn(3, channels, 3, stride=2)]
        for t, c, n, s in BODY:
            for repeat in range(n):
                out_channels = make_divisible(c * width)
                stride = s if repeat == 0 else 1
                features.append(InvertedResidual(channels, out_channels, expansion=t, stride=stride))
                channels = out_channels
        features.append(pointwise(channels, last_channels))
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last_channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def mobilenet_v2(width: float = 1.0) -> MobileNetV2:
    """MobileNetV2 as in Table 2, all channels multiplied by `width`."""
    return MobileNetV2(width)
