"""What must be kept at each resolution: counted from a network's layers, as the paper prints it, and where the print is wrong.

MobileNetV2 paper, section 5.1 and Table 3. Its rule: per resolution, the most channels that must be materialised at once, as
16-bit floats. In MobileNetV2 those are the narrow tensors between blocks, because a block's inner ones can be computed in
parts; in ShuffleNet the tensors between units, which the shortcuts keep alive; in MobileNetV1 every layer's output.

The output of a network's first layer is a question of its own. The caption lets it be computed in parts, too, in MobileNetV2
and in ShuffleNet alike; the column of MobileNetV2 and every last row do so, ShuffleNet's row of 112x112 does not. Counted are
both ways, each for all networks: to count one network this way and another that way would compare two rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnbench.records import LayerCost

V1, V2, SHUFFLE = "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224", "shufflenet_v1_g3_2.0_224"
NETWORKS = {V1: "MobileNetV1", V2: "MobileNetV2", SHUFFLE: "ShuffleNet 2x, g=3"}
RESOLUTIONS = (112, 56, 28, 14, 7, 1)
MAXIMUM = 0
"""Stands for the table's last row, the largest of its column."""
PAPER_BYTES = 2
"""The paper assumes 16-bit floats."""
KB = 1000
PRINTED = {
    # Table 3 of arXiv v4: (most channels, memory in Kb) at 112, 56, 28, 14, 7 and 1; the last row has memory only.
    V1: ((64, 1600), (128, 800), (256, 400), (512, 200), (1024, 199), (1024, 2), (None, 1600)),
    V2: ((16, 400), (32, 200), (64, 100), (160, 62), (320, 32), (1280, 2), (None, 400)),
    SHUFFLE: ((32, 800), (48, 300), (400, 600), (800, 310), (1600, 156), (1600, 3), (None, 600)),
}
IN_PARTS, WHOLE = "first layer in parts", "first layer whole"
EARLIER_FIRST = "1/O(1)"
"""What earlier versions print at 112x112, in all three columns; their other rows are those of v4, the last one excepted."""
EARLIER_MAXIMUM = {V1: 800, V2: 200, SHUFFLE: 600}
MISPRINT = 0.1
"""A printed number is taken for rounded, not for wrong, up to this share; and up to 1 Kb, because 2.56 is printed as 2."""
TWO_GROUPS = {28: 400, 14: 800, 7: 1600, 1: 1600}
"""Channels of ShuffleNet 2x with two groups (ShuffleNet paper, Table 1, doubled), where three are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """One resolution of one network: what must be kept there."""

    network: str
    resolution: str
    counted_channels: int | None
    """With the first layer computed in parts; empty where then nothing of this size must be kept."""
    counted_kb: float | None
    """1000 bytes, of 16-bit floats."""
    first_whole_channels: int | None
    """With the first layer's output kept whole."""
    first_whole_kb: float | None
    printed_channels: int | None
    printed_kb: float
    """In arXiv v4."""
    earlier_version: str
    """As printed there."""
    remarks: str
    """What is wrong with the printed numbers, if anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The most channels that a network must keep at once, by resolution; empty for a network that was not exported."""

    in_parts: Mapping[int, int]
    """With the first layer computed in parts, as the table's caption allows."""
    whole: Mapping[int, int]
    """With the first layer's output kept whole."""


NOTHING = Kept(in_parts={}, whole={})


def kept_channels(model: str, layers: Sequence[LayerCost]) -> Kept:
    """Return the most channels that must be kept at once under the paper's rule for this network, both ways."""
    return Kept(in_parts=_most(_tensors(model, layers[1:])), whole=_most([*_first(layers), *_tensors(model, layers[1:])]))


def _most(tensors: Sequence[tuple[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for resolution, channels in tensors:
        found[resolution] = max(found.get(resolution, 0), channels)
    return found


def _first(layers: Sequence[LayerCost]) -> list[tuple[int, int]]:
    return [(layer.output_shape[-1], layer.output_shape[1]) for layer in layers[:1]]


def _tensors(model: str, layers: Sequence[LayerCost]) -> list[tuple[int, int]]:
    """Return (resolution, channels) of each tensor that must be kept, of all layers but the first."""
    tensors = []
    for layer in layers:
        if layer.kind == "linear":
            tensors.append((1, layer.input_elements))
        elif _stands_whole(model, layer):
            tensors.append((layer.output_shape[-1], layer.output_shape[1]))
        elif model == SHUFFLE and layer.name.endswith(".compress_conv1"):  # reads what the unit before it put out, at stride 1
            resolution = layer.output_shape[-1]
            tensors.append((resolution, layer.input_elements // resolution**2))
    return tensors


def _stands_whole(model: str, layer: LayerCost) -> bool:
    """Say whether a layer's own output must be kept. Of ShuffleNet's units none: it joins another tensor first."""
    if model == V1:
        return True  # neither shortcuts nor bottlenecks
    return model == V2 and ".project." in layer.name  # the narrow end of a block, whose inside is computed in parts


def kilobytes(resolution: int, channels: int, width_bytes: int = PAPER_BYTES) -> float:
    """Return the size of a square map of channels, in units of 1000 bytes."""
    return channels * resolution**2 * width_bytes / KB


def largest_kb(kept: Mapping[int, int], width_bytes: int = PAPER_BYTES) -> float | None:
    """Return the largest size over all resolutions; None when nothing was counted."""
    return max((kilobytes(resolution, channels, width_bytes) for resolution, channels in kept.items()), default=None)


def kept_rows(model: str, kept: Kept) -> list[KeptRow]:
    """Return the printed table's column of one network, each cell beside what is counted."""
    rows = []
    for resolution, (channels, kb) in zip((*RESOLUTIONS, MAXIMUM), PRINTED[model], strict=True):
        earlier = f"{channels}/{kb:g}" if resolution not in (RESOLUTIONS[0], MAXIMUM) else EARLIER_FIRST
        rows.append(
            KeptRow(
                network=model,
                resolution=f"{resolution}x{resolution}" if resolution else "max",
                counted_channels=kept.in_parts.get(resolution),
                counted_kb=_size_kb(resolution, kept.in_parts),
                first_whole_channels=kept.whole.get(resolution),
                first_whole_kb=_size_kb(resolution, kept.whole),
                printed_channels=channels,
                printed_kb=kb,
                earlier_version=earlier if resolution else f"{EARLIER_MAXIMUM[model]}",
                remarks="; ".join(misprints(model, resolution, kept)),
            )
        )
    return rows


def _size_kb(resolution: int, kept: Mapping[int, int]) -> float | None:
    """Return what is kept at a resolution, or the most of all for the last row; None where that is nothing."""
    if resolution == MAXIMUM:
        return largest_kb(kept)
    return kilobytes(resolution, kept[resolution]) if resolution in kept else None


def misprints(model: str, resolution: int, kept: Kept) -> list[str]:
    """Name what is wrong with one printed cell: by itself, within its column, and against the modules."""
    channels, kb = PRINTED[model][(*RESOLUTIONS, MAXIMUM).index(resolution)]
    if channels is None:
        return _wrong_maximum(model, kb, kept)
    found = []
    needed = kilobytes(resolution, channels)
    if abs(needed - kb) > max(MISPRINT * kb, 1.0):
        found.append(f"{channels} channels take {needed:.0f} Kb, not {kb:g}")
    if model == SHUFFLE and resolution == 28:
        found.append("printed as 600K in a column of Kb")
    counts = [way[resolution] for way in (kept.in_parts, kept.whole) if resolution in way]
    if counts and channels not in counts:
        only = " where the first layer is kept whole" if len(counts) == 1 else ""
        found.append(
            f"the modules have {counts[-1]} channels{only}, not {channels}{_whose(model, resolution, channels, kept.in_parts)}"
        )
    return found


def _wrong_maximum(model: str, kb: float, kept: Kept) -> list[str]:
    """Name what is wrong with the last row of a column, which leaves the first layer out."""
    largest = max(size for _, size in PRINTED[model][:-1])
    found = [f"printed {kb:g} beside {largest:g} in the same column, whose first layer it leaves out"] if kb < largest else []
    in_parts, whole = largest_kb(kept.in_parts), largest_kb(kept.whole)
    if in_parts is not None and whole is not None and abs(in_parts - kb) > MISPRINT * kb:
        found.append(f"the modules keep {in_parts:.0f} ({IN_PARTS}) or {whole:.0f} ({WHOLE})")
    return found


def _whose(model: str, resolution: int, channels: int, kept: Mapping[int, int]) -> str:
    """Say where a wrong number of channels seems to come from."""
    if model == SHUFFLE:
        return " (those of two groups)" if TWO_GROUPS.get(resolution) == channels else ""
    others = [other for other in kept if kept[other] == channels]
    return f" (those of {others[0]}x{others[0]})" if others else ""
