"""How much of a block's activations is alive at once, by arithmetic on its tensors. MobileNetV2 paper, section 5.1.

Two figures, because the paper's is a bound that a runtime reaches only if it runs the block as one operation:

materialised    every layer writes its whole output before the next one starts, which is what runtimes do
bound           what lies between the outer 1x1 convolutions is computed a channel at a time and added up as it comes
"""

from __future__ import annotations

from itertools import pairwise

from mnbench.catalog.operators import BLOCKS, Operator
from mnbench.errors import UsageError


def tensors(block: Operator) -> tuple[int, ...]:
    """Return the elements of a block's input, of what each layer writes, and so of its output, for one image.

    Normalisation and activation are part of the convolution before them and write nothing of their own. Raises UsageError for
    an operator that is no block.
    """
    if block.kind not in BLOCKS:
        raise UsageError(f"{block.kind!r} is no block with tensors inside; known: {', '.join(BLOCKS)}.")
    before, after = block.resolution**2, block.out_resolution**2
    source, target = block.in_channels * before, block.out_channels * after
    if block.kind == "inverted" and block.expansion == 1:  # then there is no expansion layer
        return source, block.in_channels * after, target
    inner = inner_channels(block)
    return source, inner * before, inner * after, target


def inner_channels(block: Operator) -> int:
    """Return the channels between a block's two 1x1 convolutions."""
    return block.in_channels * block.expansion if block.kind == "inverted" else block.in_channels // block.expansion


def materialised_bytes(block: Operator, element_bytes: int = 4) -> int:
    """Return the largest sum of tensors alive while one layer runs: what it reads, what it writes, and the shortcut.

    The sum with the shortcut is written over the block's output, which needs no third tensor.
    """
    sizes = tensors(block)
    kept = sizes[0] if block.shortcut else 0
    alive = [read + written + (kept if place else 0) for place, (read, written) in enumerate(pairwise(sizes))]
    return element_bytes * max(alive)


def bound_bytes(block: Operator, element_bytes: int = 4) -> int:
    """Return the paper's bound: input and output whole, and one channel of each tensor between them.

    Section 5.1 gives |s²k| + |s'²k'| + O(max(s², s'²)) for a block whose inside treats each channel by itself; here the last
    term is the maps of one channel. A standard convolution inside mixes the channels: then the smaller of the two tensors next
    to it must be whole, and one channel of the other. Where that is more than writing every tensor takes, nothing is gained.
    """
    sizes = tensors(block)
    maps = [block.resolution**2, block.out_resolution**2][-(len(sizes) - 2) :]
    inside = sum(maps)
    if block.kind == "residual":
        inside = min(sizes[1] + maps[1], maps[0] + sizes[2])
    return min(element_bytes * (sizes[0] + sizes[-1] + inside), materialised_bytes(block, element_bytes))
