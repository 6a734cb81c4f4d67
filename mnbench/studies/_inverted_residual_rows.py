"""The cells of the study `inverted-residual`, which its findings judge and its plots show, and the rows of its tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnbench.catalog.block_memory import bound_bytes, inner_channels, materialised_bytes
from mnbench.catalog.operators import Operator, cost
from mnbench.records import Estimate
from mnbench.stats import slopes as fitting
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import geometric_mean
from mnbench.stats.slopes import log_ratio, ratio_of
from mnbench.studies._matched_blocks import EXPANSION, Measure, matched
from mnbench.studies._operator_slopes import Key, Times

RESIDUAL_KINDS = ("residual-depthwise", "residual")


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCost:
    """A residual block beside the inverted block that it costs as much as, in one runtime."""

    equal: Measure
    block: Operator
    residual: Operator
    backend: str
    logs: LaunchLogs
    """log(latency of residual / latency of inverted) by launch."""

    @property
    def cost_over(self) -> float:
        """What the multiples of 8 leave of the difference in cost: residual over inverted."""
        over: float = getattr(cost(self.residual), self.equal) / getattr(cost(self.block), self.equal)
        return over

    @property
    def per_cost(self) -> LaunchLogs:
        """The log ratios with that difference taken out."""
        return {launch: log - math.log(self.cost_over) for launch, log in self.logs.items()}


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
    latency_over: float | None
    latency_over_low: float | None
    latency_over_high: float | None
    launches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """An inverted block of one expansion in one runtime."""

    block: Operator
    backend: str
    lines: LaunchLogs
    """log(ns) by launch."""
    first: Operator
    """The block of the smallest expansion above 1."""
    over_first: LaunchLogs
    """log(latency over that block's) by launch."""
    is_last: bool
    """Whether its expansion is the largest."""
    growth: LaunchLogs
    """Of the last: log(latency over the first's) by launch, on the power law through all expansions above 1. Else empty."""

    @property
    def madds_over_first(self) -> float:
        return cost(self.block).madds / cost(self.first).madds


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpansionRow:
    """A line of expansion.csv."""

    resolution: int
    channels: int
    expansion: int
    backend: str
    madds: int
    latency_us: float | None
    latency_us_low: float | None
    latency_us_high: float | None
    madds_over_first: float
    latency_over_first: float | None
    latency_over_first_low: float | None
    latency_over_first_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A block with its shortcut beside the same without, in one runtime."""

    block: Operator
    backend: str
    logs: LaunchLogs
    """log(latency with / latency without) by launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutRow:
    """A line of shortcut.csv."""

    resolution: int
    channels: int
    backend: str
    with_over_without: float | None
    low: float | None
    high: float | None


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
    latency_us: float | None
    latency_us_low: float | None
    latency_us_high: float | None
    intercept_us: float | None
    gmadds_per_s: float | None
    launches: int


def equal_cost(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[EqualCost]:
    """Return every planned pair of an inverted block and a residual one of equal cost."""
    cells = []
    for block in _standard_blocks(operators):
        for kind in RESIDUAL_KINDS:
            measures: tuple[Measure, ...] = ("madds", "params") if block.stride > 1 else ("madds",)
            for by in measures:
                if (other := matched(block, kind, by)) not in operators:
                    continue
                for backend in backends:
                    logs = log_ratio(slopes.logs(other, backend), slopes.logs(block, backend))
                    cells.append(EqualCost(equal=by, block=block, residual=other, backend=backend, logs=logs))
    return cells


def equal_cost_row(cell: EqualCost, level: float) -> EqualCostRow:
    ours, theirs = cost(cell.block), cost(cell.residual)
    value, low, high = _parts(ratio_of(cell.logs, level))
    return EqualCostRow(
        equal="multiply-adds and weights"
        if cell.block.stride == 1
        else "weights"
        if cell.equal == "params"
        else "multiply-adds",
        resolution=cell.block.resolution,
        stride=cell.block.stride,
        backend=cell.backend,
        inverted=widths(cell.block),
        kind=cell.residual.kind,
        residual=widths(cell.residual),
        madds_over=theirs.madds / ours.madds,
        weights_over=theirs.params / ours.params,
        latency_over=value,
        latency_over_low=low,
        latency_over_high=high,
        launches=len(cell.logs),
    )


def swept(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[Swept]:
    """Return the inverted blocks that differ in nothing but their expansion, three of them or more."""
    groups: dict[tuple[int, int], list[Operator]] = {}
    for operator in operators:
        if operator.kind == "inverted" and operator.shortcut:
            groups.setdefault((operator.resolution, operator.in_channels), []).append(operator)
    cells = []
    for blocks in groups.values():
        ordered = sorted(blocks, key=lambda block: block.expansion)
        above = [block for block in ordered if block.expansion > 1]
        if len(above) < 3:
            continue
        for backend in backends:
            under = slopes.logs(above[0], backend)
            growth = fitted_growth(above, [slopes.logs(block, backend) for block in above])
            for block in ordered:
                logs = slopes.logs(block, backend)
                last = block == above[-1]
                cells.append(
                    Swept(
                        block=block,
                        backend=backend,
                        lines=logs,
                        first=above[0],
                        over_first=log_ratio(logs, under),
                        is_last=last,
                        growth=growth if last else {},
                    )
                )
    return cells


def fitted_growth(blocks: Sequence[Operator], logs: Sequence[LaunchLogs]) -> LaunchLogs:
    """Return log(latency of the last block / of the first) by launch that has them all.

    Taken from the straight line through log latency over log MAdds, which uses every block and not the two ends alone.
    """
    log_madds = np.log([cost(block).madds for block in blocks])
    common = set.intersection(*(set(one) for one in logs))
    return {
        launch: float(np.polyfit(log_madds, [one[launch] for one in logs], 1)[0] * (log_madds[-1] - log_madds[0]))
        for launch in sorted(common)
    }


def expansion_row(cell: Swept, level: float) -> ExpansionRow:
    latency = [None if part is None else part / 1e3 for part in _parts(latency_ns(cell.lines, level))]
    value, low, high = _parts(ratio_of(cell.over_first, level)) if cell.block != cell.first else (1.0, 1.0, 1.0)
    return ExpansionRow(
        resolution=cell.block.resolution,
        channels=cell.block.in_channels,
        expansion=cell.block.expansion,
        backend=cell.backend,
        madds=cost(cell.block).madds,
        latency_us=latency[0],
        latency_us_low=latency[1],
        latency_us_high=latency[2],
        madds_over_first=cell.madds_over_first,
        latency_over_first=value,
        latency_over_first_low=low,
        latency_over_first_high=high,
    )


def shortcuts(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[Shortcut]:
    """Return every block that was planned both with its shortcut and without."""
    return [
        Shortcut(block=block, backend=backend, logs=log_ratio(slopes.logs(block, backend), slopes.logs(without, backend)))
        for block in operators
        if block.shortcut and (without := replace(block, shortcut=0)) in operators
        for backend in backends
    ]


def shortcut_row(cell: Shortcut, level: float) -> ShortcutRow:
    value, low, high = _parts(ratio_of(cell.logs, level))
    return ShortcutRow(
        resolution=cell.block.resolution,
        channels=cell.block.in_channels,
        backend=cell.backend,
        with_over_without=value,
        low=low,
        high=high,
    )


def memory_rows(operators: Sequence[Operator]) -> list[MemoryRow]:
    """Return each block of stride 1 with its shortcut, and the residual ones of as many MAdds."""
    rows = []
    for block in _standard_blocks(operators):
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
    value, low, high = (None if part is None else part / 1e3 for part in _parts(latency))
    return TimedRow(
        block=widths(block),
        kind=block.kind,
        resolution=block.resolution,
        stride=block.stride,
        shortcut=block.shortcut,
        backend=backend,
        madds=counted.madds,
        weights=counted.params,
        latency_us=value,
        latency_us_low=low,
        latency_us_high=high,
        intercept_us=intercept.value / 1e3 if intercept else None,
        gmadds_per_s=counted.madds / latency.value if latency else None,
        launches=len(found),
    )


def latency_ns(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency behind log(ns) by launch; None below three."""
    return geometric_mean(list(logs.values()), level, fitting.SLOPE_METHOD)


def widths(block: Operator) -> str:
    """Return a block's channels as `24-144-24`."""
    return f"{block.in_channels}-{inner_channels(block)}-{block.out_channels}"


def shape(block: Operator) -> str:
    """Return where a block stands, as `56x56x24`, with its output if it has another."""
    size = f"{block.resolution}x{block.resolution}x{block.in_channels}"
    return size if block.stride == 1 else f"{size} to {block.out_resolution}x{block.out_resolution}x{block.out_channels}"


def _standard_blocks(operators: Sequence[Operator]) -> list[Operator]:
    """Return the inverted blocks as the network has them: its expansion, and the shortcut where it may be."""
    return [
        block
        for block in operators
        if block.kind == "inverted" and block.expansion == EXPANSION and block.shortcut == int(block.stride == 1)
    ]


def _parts(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
