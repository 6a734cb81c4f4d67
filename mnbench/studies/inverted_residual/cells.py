"""The cells of the study `inverted-residual`, which its findings judge and its plots show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.intervals import geometric_mean
from mnbench.studies.common import slopes as fitting
from mnbench.studies.common.matched_blocks import EXPANSION, Measure, matched
from mnbench.studies.common.operator_slopes import Times
from mnbench.studies.common.slopes import log_ratio

RESIDUAL_KINDS = ("residual-depthwise", "residual")
WORDS: Mapping[Measure, str] = {"madds": "multiply-adds", "params": "weights"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCost:
    """A residual block beside the inverted block that it costs as much as, in one runtime."""

    equal: tuple[Measure, ...]
    """Of what it has as much, the ratios being taken by the first: one block may match in multiply-adds and in weights."""
    block: Operator
    residual: Operator
    backend: str
    logs: LaunchLogs
    """log(latency of residual / latency of inverted) by launch."""

    @property
    def cost_over(self) -> float:
        """What the multiples of 8 leave of the difference in cost: residual over inverted."""
        over: float = getattr(cost(self.residual), self.equal[0]) / getattr(cost(self.block), self.equal[0])
        return over

    @property
    def equal_in(self) -> str:
        """As words: `multiply-adds and weights`."""
        return " and ".join(WORDS[measure] for measure in self.equal)

    @property
    def per_cost(self) -> LaunchLogs:
        """The log ratios with that difference taken out."""
        return {launch: log - math.log(self.cost_over) for launch, log in self.logs.items()}


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
class Shortcut:
    """A block with its shortcut beside the same without, in one runtime."""

    block: Operator
    backend: str
    logs: LaunchLogs
    """log(latency with / latency without) by launch."""


def equal_cost(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[EqualCost]:
    """Return every planned pair of an inverted block and a residual one of equal cost, each once."""
    cells = []
    for block in standard_blocks(operators):
        for kind in RESIDUAL_KINDS:
            found: dict[Operator, list[Measure]] = {}
            for by in WORDS:
                found.setdefault(matched(block, kind, by), []).append(by)
            for other, equal in found.items():
                if other not in operators:
                    continue
                for backend in backends:
                    logs = log_ratio(slopes.logs(other, backend), slopes.logs(block, backend))
                    cells.append(EqualCost(equal=tuple(equal), block=block, residual=other, backend=backend, logs=logs))
    return cells


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


def shortcuts(slopes: Times, operators: Sequence[Operator], backends: Sequence[str]) -> list[Shortcut]:
    """Return every block that was planned both with its shortcut and without."""
    return [
        Shortcut(block=block, backend=backend, logs=log_ratio(slopes.logs(block, backend), slopes.logs(without, backend)))
        for block in operators
        if block.shortcut and (without := replace(block, shortcut=0)) in operators
        for backend in backends
    ]


def latency_ns(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency behind log(ns) by launch; None below three."""
    return geometric_mean(list(logs.values()), level, fitting.SLOPE_METHOD)


def shape(block: Operator) -> str:
    """Return where a block stands, as `56x56x24`, with its output if it has another."""
    size = f"{block.resolution}x{block.resolution}x{block.in_channels}"
    return size if block.stride == 1 else f"{size} to {block.out_resolution}x{block.out_resolution}x{block.out_channels}"


def standard_blocks(operators: Sequence[Operator]) -> list[Operator]:
    """Return the inverted blocks as the network has them: its expansion, and the shortcut where it may be."""
    return [
        block
        for block in operators
        if block.kind == "inverted" and block.expansion == EXPANSION and block.shortcut == int(block.stride == 1)
    ]
