"""The table of operators of the study `separable`: one row per operator and runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog.operators import Operator, cost, parse
from mnbench.records import Estimate, Run
from mnbench.stats.roofline import ceilings_for, limits, sum_of_floors
from mnbench.studies.common.operator_slopes import SINGLE_METHOD, Key, Times
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
    slope_ms: Estimate | None
    intercept_ms: Estimate | None
    single_graph_ms: Estimate | None
    single_over_slope: Estimate | None
    gmadds_per_s: Estimate | None
    """This and the next two: from the slope, whose interval is theirs; ceilings are taken as exact."""
    gbytes_per_s: Estimate | None
    roofline_pct: Estimate | None
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
    slope = measured.estimate
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
        slope_ms=in_ms(slope),
        intercept_ms=in_ms(measured.intercept),
        single_graph_ms=in_ms(found.estimate(single, SINGLE_METHOD)),
        single_over_slope=ratio(single, measured.logs, found.level),
        gmadds_per_s=slope and slope.under(madds),
        gbytes_per_s=slope and slope.under(moved),
        roofline_pct=slope.under(100 * floor_ns) if slope and floor_ns is not None else None,
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
        operator, facts = parse(artifact.spec.model), run.facts_of(artifact.spec.model)
        if operator is not None and facts is not None and facts.layers:
            floor_ns = sum_of_floors(facts.layers, given, "fp32", artifact.spec.batch)
            floors[replace(operator, copies=1), artifact.spec.batch] = floor_ns / operator.copies
    return floors


def refused_counts(rows: Sequence[OperatorRow]) -> Mapping[str, int]:
    """Return how many operators have no time, by the reason."""
    return {reason: sum(row.refused == reason for row in rows) for reason in dict.fromkeys(r.refused for r in rows) if reason}


def in_ms(estimate: Estimate | None) -> Estimate | None:
    """Return in milliseconds an estimate in ns; None without one."""
    return None if estimate is None else estimate.per(NS_PER_MS)
