"""The rows of the tables of the study `inverted-residual`: its cells as lines, its blocks' memory, and the network's blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Estimate
from mnbench.studies.common import slopes as fitting
from mnbench.studies.common.matched_blocks import matched
from mnbench.studies.common.operator_slopes import Key, Times
from mnbench.studies.common.slopes import ratio_of
from mnbench.studies.inverted_residual.block_memory import bound_bytes, inner_channels, materialised_bytes
from mnbench.studies.inverted_residual.cells import (
    RESIDUAL_KINDS,
    EqualCost,
    Shortcut,
    Swept,
    latency_ns,
    shape,
    standard_blocks,
)

NS_PER_US = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCostRow:
    """A line of equal-cost.csv."""

    equal: str
    resolution: int
    stride: int
    backend: str
    inverted: str
    kind: str
    residual: str
    madds_over: float
    weights_over: float
    latency_over: Estimate | None
    launches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpansionRow:
    """A line of expansion.csv."""

    resolution: int
    channels: int
    expansion: int
    backend: str
    madds: int
    latency_us: Estimate | None
    madds_over_first: float
    latency_over_first: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutRow:
    """A line of shortcut.csv."""

    resolution: int
    channels: int
    backend: str
    with_over_without: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """A line of block-memory.csv: a block, and how it stands to the inverted one of as many MAdds."""

    shape: str
    kind: str
    block: str
    madds: int
    materialised_bytes: int
    bound_bytes: int
    materialised_over_inverted: float
    bound_over_inverted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """A line of network-blocks.csv and shortcut-rule.csv."""

    resolution: int
    in_channels: int
    out_channels: int
    expansion: int
    stride: int
    has_shortcut: bool
    madds: int
    madds_formula: int
    """By the paper's formula, with the input's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRow:
    """A line of blocks-timed.csv."""

    block: str
    kind: str
    resolution: int
    stride: int
    shortcut: int
    backend: str
    madds: int
    weights: int
    latency_us: Estimate | None
    intercept_us: Estimate | None
    gmadds_per_s: Estimate | None
    launches: int


def equal_cost_row(cell: EqualCost, level: float) -> EqualCostRow:
    ours, theirs = cost(cell.block), cost(cell.residual)
    return EqualCostRow(
        equal=cell.equal_in,
        resolution=cell.block.resolution,
        stride=cell.block.stride,
        backend=cell.backend,
        inverted=widths(cell.block),
        kind=cell.residual.kind,
        residual=widths(cell.residual),
        madds_over=theirs.madds / ours.madds,
        weights_over=theirs.params / ours.params,
        latency_over=ratio_of(cell.logs, level),
        launches=len(cell.logs),
    )


def expansion_row(cell: Swept, level: float) -> ExpansionRow:
    latency = latency_ns(cell.lines, level)
    same = Estimate(value=1.0, low=1.0, high=1.0, level=level, method="by definition")
    return ExpansionRow(
        resolution=cell.block.resolution,
        channels=cell.block.in_channels,
        expansion=cell.block.expansion,
        backend=cell.backend,
        madds=cost(cell.block).madds,
        latency_us=latency and latency.per(NS_PER_US),
        madds_over_first=cell.madds_over_first,
        latency_over_first=ratio_of(cell.over_first, level) if cell.block != cell.first else same,
    )


def shortcut_row(cell: Shortcut, level: float) -> ShortcutRow:
    return ShortcutRow(
        resolution=cell.block.resolution,
        channels=cell.block.in_channels,
        backend=cell.backend,
        with_over_without=ratio_of(cell.logs, level),
    )


def memory_rows(operators: Sequence[Operator]) -> list[MemoryRow]:
    """Return each block of stride 1 with its shortcut, and the residual ones of as many MAdds."""
    rows = []
    for block in standard_blocks(operators):
        if block.stride > 1:
            continue
        others = [other for kind in RESIDUAL_KINDS if (other := matched(block, kind, "madds")) in operators]
        for one in (block, *others):
            whole, bound = materialised_bytes(one), bound_bytes(one)
            rows.append(
                MemoryRow(
                    shape=shape(block),
                    kind=one.kind,
                    block=widths(one),
                    madds=cost(one).madds,
                    materialised_bytes=whole,
                    bound_bytes=bound,
                    materialised_over_inverted=whole / materialised_bytes(block),
                    bound_over_inverted=bound / bound_bytes(block),
                )
            )
    return rows


def block_rows(described: Iterable[dict[str, Any]]) -> list[BlockRow]:
    """Return the zoo's blocks with what the paper's formula says of each."""
    return [BlockRow(**block, madds_formula=formula_madds(block)) for block in described]


def formula_madds(block: dict[str, Any]) -> int:
    """Return h·w·d'·t·(d' + k² + d''), the MobileNetV2 paper's section 3.3, for a kernel of 3."""
    channels = int(block["in_channels"])
    return int(block["resolution"] ** 2 * channels * block["expansion"] * (channels + 9 + block["out_channels"]))


def timed_rows(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[TimedRow]:
    """Return what was measured of every block in every runtime."""
    return [_timed_row(slopes, operator, backend) for operator in operators for backend in backends]


def _timed_row(slopes: Times, block: Operator, backend: str) -> TimedRow:
    counted, found = cost(block), slopes.lines_of(Key(operator=block, backend=backend))
    latency = latency_ns(slopes.logs(block, backend), slopes.level)
    intercept = fitting.intercept(found, slopes.level)
    return TimedRow(
        block=widths(block),
        kind=block.kind,
        resolution=block.resolution,
        stride=block.stride,
        shortcut=block.shortcut,
        backend=backend,
        madds=counted.madds,
        weights=counted.params,
        latency_us=latency and latency.per(NS_PER_US),
        intercept_us=intercept and intercept.per(NS_PER_US),
        gmadds_per_s=latency and latency.under(counted.madds),
        launches=len(found),
    )


def widths(block: Operator) -> str:
    """Return a block's channels as `24-144-24`."""
    return f"{block.in_channels}-{inner_channels(block)}-{block.out_channels}"
