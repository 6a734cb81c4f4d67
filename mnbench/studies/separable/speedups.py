"""Standard against separable convolution: per shape, and per row of the V1 paper's Table 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Estimate
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies.common.operator_slopes import SINGLE_METHOD, TOO_FEW, Key, Times
from mnbench.studies.common.slopes import log_ratio, ratio, ratio_of, sum_logs
from mnbench.studies.separable.grid import TABLE_3, Cell, cells
from mnbench.studies.separable.rows import in_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupRow:
    """One cell in one runtime: the standard convolution's time over that of its separable twin."""

    backend: str
    kernel: int
    resolution: int
    in_channels: int
    out_channels: int
    stride: int
    batch: int
    formula_speedup: float
    """1 / (1/N + 1/DK²)."""
    speedup: Estimate | None
    share_pct: Estimate | None
    """Measured over formula."""
    depthwise_time_pct: float | None
    """Of depthwise and pointwise together."""
    depthwise_madds_pct: float
    pair_over_parts: float | None
    """The pair timed as one, over its parts timed alone and added."""
    single_graph_speedup: Estimate | None
    refused: str
    """Why there is no speed-up; empty where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table3Row:
    """One row of the V1 paper's Table 3 in one runtime."""

    backend: str
    row: str
    printed_madds_m: float
    counted_madds_m: float
    printed_params_m: float
    counted_params_m: float
    madds_ratio: float
    """The first row's multiply-adds over this one's."""
    slope_ms: Estimate | None
    speedup: Estimate | float | None
    """The first row's time over this one's; 1, by definition, in the first row."""
    single_graph_ms: Estimate | None


def pair_logs(found: Times, cell: Cell, backend: str) -> LaunchLogs:
    """Return log(ns) by launch of a cell's separable convolution: as a pair where it is timed as one, else its parts added."""
    if cell.paired:
        return found.time(_key(cell, cell.separable, backend)).logs
    return parts_logs(found, cell, backend)


def parts_logs(found: Times, cell: Cell, backend: str) -> LaunchLogs:
    """Return log(ns) by launch of depthwise and pointwise added up."""
    return sum_logs([found.time(_key(cell, part, backend)).logs for part in (cell.depthwise, cell.pointwise)])


def speedup_logs(found: Times, cell: Cell, backend: str) -> LaunchLogs:
    """Return log(standard over separable) by launch; empty where either is missing."""
    return log_ratio(found.time(_key(cell, cell.standard, backend)).logs, pair_logs(found, cell, backend))


def single_speedup_logs(found: Times, cell: Cell, backend: str) -> LaunchLogs:
    """Return the same from graphs of one operator each."""
    if cell.paired:
        separable = found.single(_key(cell, cell.separable, backend))
    else:
        separable = sum_logs([found.single(_key(cell, part, backend)) for part in (cell.depthwise, cell.pointwise)])
    return log_ratio(found.single(_key(cell, cell.standard, backend)), separable)


def why_not(found: Times, cell: Cell, backend: str) -> str:
    """Say why a cell has no speed-up: the reason of one of its operators, or that they have too few launches in common."""
    sides = (cell.standard, cell.separable) if cell.paired else (cell.standard, cell.depthwise, cell.pointwise)
    reasons = (found.time(_key(cell, side, backend)).refused for side in sides)
    return next((reason for reason in reasons if reason), TOO_FEW)


def planned_cells(found: Times) -> tuple[Cell, ...]:
    """Return the cells both sides of which are in the plan, however much of the study that is."""
    keys = {(key.operator, key.batch) for key in found.chains}
    everything = dict.fromkeys((*cells(quick=False), *cells(quick=True)))
    return tuple(cell for cell in everything if _sides(cell) <= keys)


def speedup_rows(found: Times) -> list[SpeedupRow]:
    """Return a row per cell and runtime."""
    return [_speedup_row(found, cell, backend) for cell in planned_cells(found) for backend in found.backends]


def _sides(cell: Cell) -> set[tuple[Operator, int]]:
    separable = (cell.separable,) if cell.paired else (cell.depthwise, cell.pointwise)
    return {(operator, cell.batch) for operator in (cell.standard, *separable)}


def _speedup_row(found: Times, cell: Cell, backend: str) -> SpeedupRow:
    gain = ratio_of(speedup_logs(found, cell, backend), found.level)
    alone = ratio_of(single_speedup_logs(found, cell, backend), found.level)
    parts, depthwise = parts_logs(found, cell, backend), found.time(_key(cell, cell.depthwise, backend)).logs
    part = ratio(depthwise, parts, found.level)
    together = ratio(pair_logs(found, cell, backend), parts, found.level) if cell.paired else None
    madds = cost(cell.depthwise).madds
    return SpeedupRow(
        backend=backend,
        kernel=cell.kernel,
        resolution=cell.resolution,
        in_channels=cell.in_channels,
        out_channels=cell.out_channels,
        stride=cell.stride,
        batch=cell.batch,
        formula_speedup=cell.formula,
        speedup=gain,
        share_pct=gain and gain.per(cell.formula / 100),
        depthwise_time_pct=100 * part.value if part else None,
        depthwise_madds_pct=100 * madds / (madds + cost(cell.pointwise).madds),
        pair_over_parts=together.value if together else None,
        single_graph_speedup=alone,
        refused="" if gain is not None else why_not(found, cell, backend),
    )


def table_3_rows(found: Times) -> list[Table3Row]:
    """Return Table 3 row by row, per runtime."""
    return [row for backend in found.backends for row in _table_3(found, backend)]


def table_3_operator(place: int) -> Operator:
    """Return the operator of a row of Table 3."""
    _, kind, resolution, channels, _, _ = TABLE_3[place]
    return Operator(kind=kind, resolution=resolution, in_channels=channels, out_channels=channels, kernel=3)


def table_3_logs(found: Times, backend: str, place: int, against: int = 0) -> LaunchLogs:
    """Return log(speed-up) by launch of a row of Table 3 over another, the first by default."""
    before, after = (found.time(Key(operator=table_3_operator(row), backend=backend)).logs for row in (against, place))
    return log_ratio(before, after)


def _table_3(found: Times, backend: str) -> Iterator[Table3Row]:
    first = cost(table_3_operator(0)).madds
    for place, (name, _, _, _, printed_madds_m, printed_params_m) in enumerate(TABLE_3):
        key = Key(operator=table_3_operator(place), backend=backend)
        each = cost(key.operator)
        yield Table3Row(
            backend=backend,
            row=name,
            printed_madds_m=printed_madds_m,
            counted_madds_m=each.madds / 1e6,
            printed_params_m=printed_params_m,
            counted_params_m=each.params / 1e6,
            madds_ratio=first / each.madds,
            slope_ms=in_ms(found.time(key).estimate),
            speedup=ratio_of(table_3_logs(found, backend, place), found.level) if place else 1.0,
            single_graph_ms=in_ms(found.estimate(found.single(key), SINGLE_METHOD)),
        )


def _key(cell: Cell, operator: Operator, backend: str) -> Key:
    return Key(operator=operator, backend=backend, batch=cell.batch)
