"""The zoo's own bottlenecks as plain data: which of them have a shortcut, and what they cost. Loads torch."""

from __future__ import annotations

from itertools import product
from typing import Any

from torch import device, nn

from mnbench import catalog
from mnbench.zoo.build import outline
from mnbench.zoo.count import count
from mnbench.zoo.mobilenet_v2 import InvertedResidual


def network_blocks(model: str) -> list[dict[str, Any]]:
    """Return every bottleneck of a MobileNetV2, in order."""
    card = catalog.card(model)
    module = outline(card)
    shapes = {layer.name: layer.output_shape for layer in count(module, (1, *card.input_chw)).layers}
    found = []
    for name, block in module.named_modules():
        if isinstance(block, InvertedResidual):
            out_resolution = shapes[f"{name}.depthwise.conv"][-1]
            found.append(_described(block, out_resolution * _convolution(block.depthwise).stride[0]))
    return found


def grid_blocks(*, resolution: int, channels: int, other_channels: int, expansion: int) -> list[dict[str, Any]]:
    """Return a block for stride 1 and 2, and for as many and other channels out."""
    with device("meta"):
        return [
            _described(InvertedResidual(channels, out, expansion=expansion, stride=stride), resolution)
            for stride, out in product((1, 2), (channels, other_channels))
        ]


def _described(block: InvertedResidual, resolution: int) -> dict[str, Any]:
    depthwise, project = _convolution(block.depthwise), _convolution(block.project)
    first = _convolution(block.expand) if isinstance(block.expand, nn.Sequential) else depthwise
    channels = first.in_channels
    return {
        "resolution": resolution,
        "in_channels": channels,
        "out_channels": project.out_channels,
        "expansion": depthwise.out_channels // channels,
        "stride": depthwise.stride[0],
        "has_shortcut": block.has_shortcut,
        "madds": count(block, (1, channels, resolution, resolution)).madds,
    }


def _convolution(layers: nn.Sequential) -> nn.Conv2d:
    """Return the convolution of a layer with its normalisation."""
    return next(layer for layer in layers if isinstance(layer, nn.Conv2d))
