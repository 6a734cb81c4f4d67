"""The table of operators of the study `separable`: one row per operator and runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog.operators import Operator, cost, parse
from mnbench.records import Estimate, Run
from mnbench.stats.roofline import ceilings_for, limits, sum_of_floors
from mnbench.studies.common.operator_slopes import SINGLE_METHOD, Key, Times
from mnbench.studies.common.readings import bounds, per_time
from mnbench.studies.common.slopes import ratio

NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """One operator in one runtime. Empty cells were not measured, or are refused; `refused` says why."""

    backend: str
    kind: str
    kernel: int
    resolution: int
    in_channels: int
    out_channels: int
    stride: int
    batch: int
    madds: int
    bytes: int
    intensity_madds_per_byte: float
    copies: str
    slope_ms: float | None
    slope_low_ms: float | None
    slope_high_ms: float | None
    intercept_ms: float | None
    intercept_low_ms: float | None
    intercept_high_ms: float | None
    single_graph_ms: float | None
    single_graph_low_ms: float | None
    single_graph_high_ms: float | None
    single_over_slope: float | None
    single_over_slope_low: float | None
    single_over_slope_high: float | None
    gmadds_per_s: float | None
    """This and the next eight: from the slope, whose interval is theirs; ceilings are taken as exact."""
    gmadds_low_per_s: float | None
    gmadds_high_per_s: float | None
    gbytes_per_s: float | None
    gbytes_low_per_s: float | None
    gbytes_high_per_s: float | None
    roofline_pct: float | None
    roofline_low_pct: float | None
    roofline_high_pct: float | None
    launches: int
    refused: str


def operator_rows(found: Times, run: Run) -> list[OperatorRow]:
    """Return a row per operator and runtime, in the plan's order."""
    floors = floors_ns(run)
    return [_operator_row(found, key, floors) for key in found.lines()]


def _operator_row(found: Times, key: Key, floors: Mapping[tuple[Operator, int], float]) -> OperatorRow:
    operator, each, measured, single = key.operator, cost(key.operator), found.time(key), found.single(key)
    moved, madds = each.bytes(batch=key.batch), each.madds * key.batch
    floor_ns = floors.get((operator, key.batch))
    done, flow = per_time(madds, measured.estimate), per_time(moved, measured.estimate)
    share = per_time(None if floor_ns is None else 100 * floor_ns, measured.estimate)
    slope, rest = in_ms(measured.estimate), in_ms(measured.intercept)
    alone, more = in_ms(found.estimate(single, SINGLE_METHOD)), bounds(ratio(single, measured.logs, found.level))
    return OperatorRow(
        backend=key.backend,
        kind=operator.kind,
        kernel=operator.kernel,
        resolution=operator.resolution,
        in_channels=operator.in_channels,
        out_channels=operator.out_channels,
        stride=operator.stride,
        batch=key.batch,
        madds=madds,
        bytes=moved,
        intensity_madds_per_byte=madds / moved,
        copies=" ".join(map(str, sorted(found.chains[key]))),
        slope_ms=slope[0],
        slope_low_ms=slope[1],
        slope_high_ms=slope[2],
        intercept_ms=rest[0],
        intercept_low_ms=rest[1],
        intercept_high_ms=rest[2],
        single_graph_ms=alone[0],
        single_graph_low_ms=alone[1],
        single_graph_high_ms=alone[2],
        single_over_slope=more[0],
        single_over_slope_low=more[1],
        single_over_slope_high=more[2],
        gmadds_per_s=done[0],
        gmadds_low_per_s=done[1],
        gmadds_high_per_s=done[2],
        gbytes_per_s=flow[0],
        gbytes_low_per_s=flow[1],
        gbytes_high_per_s=flow[2],
        roofline_pct=share[0],
        roofline_low_pct=share[1],
        roofline_high_pct=share[2],
        launches=len(measured.logs),
        refused=measured.refused,
    )


def floors_ns(run: Run) -> dict[tuple[Operator, int], float]:
    """Return by operator (one copy) and batch the shortest time that this machine's ceilings allow one copy, in ns.

    Empty for a run that holds no ceilings (`mnbench.stats.roofline` tells what a floor is).
    """
    given = limits(ceilings_for(run), "fp32", threads=1)
    floors: dict[tuple[Operator, int], float] = {}
    if given is None:
        return floors
    for artifact in run.artifacts:
        operator = parse(artifact.spec.model) if artifact.layers else None
        if operator is not None:
            floor_ns = sum_of_floors(artifact.layers, given, "fp32", artifact.spec.batch)
            floors[replace(operator, copies=1), artifact.spec.batch] = floor_ns / operator.copies
    return floors


def refused_counts(rows: Sequence[OperatorRow]) -> Mapping[str, int]:
    """Return how many operators have no time, by the reason."""
    return {reason: sum(row.refused == reason for row in rows) for reason in dict.fromkeys(r.refused for r in rows) if reason}


def in_ms(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """Return (value, low, high) in milliseconds of an estimate in ns; three times None without one."""
    if estimate is None:
        return None, None, None
    return estimate.value / NS_PER_MS, estimate.low / NS_PER_MS, estimate.high / NS_PER_MS
