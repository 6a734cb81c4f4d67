"""Residual blocks that cost as much as an inverted one, in multiply-adds or in weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from mnbench.catalog.operators import Operator, cost

Measure = Literal["madds", "params"]

EXPANSION = 6
"""Of all but the first bottleneck of the V2 paper's Table 2."""
RESNET_REDUCTION = 4
"""Of the bottleneck of He et al. 2016 (arXiv:1512.03385)."""
TOLERANCE = 1.06
"""How far a matched block's cost may be off for the sake of a width ratio near the one aimed at: multiples of 8 are coarse."""
ROUND_TO = 8


def inverted(
    resolution: int, channels: int, *, out_channels: int | None = None, expansion: int = EXPANSION, stride: int = 1
) -> Operator:
    """Return a block of MobileNetV2, with the shortcut where it may have one."""
    out = out_channels or channels
    return Operator(
        kind="inverted", resolution=resolution, in_channels=channels, out_channels=out, kernel=3, stride=stride,
        expansion=expansion, shortcut=int(stride == 1 and out == channels),
    )  # fmt: skip


def matched(block: Operator, kind: str, by: Measure) -> Operator:
    """Return the residual block of `kind` that costs about as many MAdds, or has about as many weights, as an inverted block.

    Of the blocks whose channels are multiples of 8 and whose cost is within 6 %, the one whose width ratio is nearest to the
    one aimed at: ResNet's 4 for `residual`, the inverted block's own for `residual-depthwise`. With a stride, the channels out
    grow as those of the inverted block do.
    """
    aim = RESNET_REDUCTION if kind == "residual" else block.expansion
    target = getattr(cost(block), by)
    growth = block.out_channels / block.in_channels

    def distance(candidate: Operator) -> tuple[bool, float, float]:
        off = abs(math.log(getattr(cost(candidate), by) / target))
        far = off > math.log(TOLERANCE)
        return far, off if far else abs(math.log(candidate.expansion / aim)), off

    def candidates() -> Iterator[Operator]:
        for hidden in range(ROUND_TO, 4 * block.in_channels + 1, ROUND_TO):
            for reduction in range(2, 13):
                wide = hidden * reduction
                out = wide if growth == 1 else ROUND_TO * max(1, round(wide * growth / ROUND_TO))
                yield replace(block, kind=kind, in_channels=wide, out_channels=out, expansion=reduction)

    return min(candidates(), key=distance)
