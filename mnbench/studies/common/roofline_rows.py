"""What the study `roofline` found, as rows: every probe, and every network held against the ceilings of the same launches."""

from __future__ import annotations

from dataclasses import dataclass

from mnbench.records import Case, Estimate, Format, ModelFacts, Run
from mnbench.stats import roofline
from mnbench.stats.roofline import Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingRow:
    """One probe. The fields are the columns of ceilings.csv."""

    kind: str
    """`peak` or `bandwidth`."""
    precision: str
    threads: int
    level: int | None
    """Of a bandwidth: 1, 2, 3 of a cache, 0 of memory."""
    holds_kib: int | None
    """What all caches of the level hold that the threads use; None for memory."""
    kernel: str
    unit: str
    value: Estimate | None
    launches: int
    ceiling: bool
    """Whether it is the best of its kind, and so the ceiling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One network in one runtime. The fields are the columns of networks.csv."""

    model: str
    backend: str
    precision: str
    threads: int
    madds: int
    """Of one image."""
    bytes: int
    """What the layers must move: weights once, activations in and out."""
    madds_per_byte: float | None
    floor_ms: float | None
    layers_bound_by_compute: int | None
    layers_bound_by_memory: int | None
    latency_ms: Estimate | None
    roofline_pct: Estimate | None
    """Floor over latency, both of the same launches."""
    gmadds_per_s: Estimate | None
    peak_pct: Estimate | None
    """Rate of multiply-adds over the peak, both of the same launches."""
    launches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One network in one runtime, held against the ceilings of the same launches."""

    case: Case
    row: NetworkRow
    share: dict[int, float]
    """log(floor / latency) by launch."""
    rate: dict[int, float]
    """log(rate of multiply-adds / peak) by launch."""


def ceiling_rows(run: Run) -> list[CeilingRow]:
    """Return what each probe reached, the best of each kind marked."""
    ceilings = roofline.ceilings_of(run)
    best = set()
    if ceilings is not None:
        best = {(p.kernel, p.precision, p.threads) for p in ceilings.peaks}
        best |= {(b.kernel, "fp32", b.threads) for b in ceilings.bandwidths}
    rows = []
    for rate in roofline.probe_rates(run):
        case, per_s = rate.case, rate.per_s
        holds = None if rate.level is None else roofline.capacities(run.environment, case.threads).get(rate.level)
        rows.append(
            CeilingRow(
                kind="peak" if rate.level is None else "bandwidth",
                precision=case.precision,
                threads=case.threads,
                level=rate.level,
                holds_kib=None if holds is None else holds >> 10,
                kernel=case.model,
                unit="GMAdds/s" if rate.level is None else "GB/s",
                value=per_s and per_s.per(1e9),
                launches=rate.launches,
                ceiling=(case.model, case.precision, case.threads) in best,
            )
        )
    return rows


def measure(run: Run) -> list[Measured]:
    """Return each network case of a run with its floor and its rates; figures that the launches do not carry are None."""
    probes = {a.spec.model for a in run.artifacts if a.format == Format.PROBE}
    counted = {facts.model: facts for facts in run.facts if facts.model not in probes}
    logs = roofline.logs_by_case(run)
    by_launch: dict[tuple[str, int], dict[int, roofline.Limits]] = {}
    found = []
    for case in run.plan.cases:
        if case.model in counted and case.precision in roofline.ELEMENT_BYTES:
            key = (case.precision, case.threads)
            if key not in by_launch:
                by_launch[key] = roofline.limits_by_launch(run, *key)
            found.append(_measured(run, case, counted[case.model], logs.get(case.id, {}), by_launch[key]))
    return found


def _measured(
    run: Run, case: Case, facts: ModelFacts, latency: dict[int, float], by_launch: dict[int, roofline.Limits]
) -> Measured:
    level = run.plan.level
    share = roofline.share_logs(facts.layers, latency, by_launch, case.precision, case.batch)
    rate = roofline.rate_logs(facts.madds * case.batch, latency, by_launch)
    overall = roofline.limits(roofline.ceilings_of(run), case.precision, case.threads)
    floors = [] if overall is None else [roofline.layer_floor(x, overall, case.precision, case.batch) for x in facts.layers]
    moved = sum(roofline.layer_bytes(layer, case.precision, case.batch) for layer in facts.layers)
    time_ns = roofline.latency_of(latency, level)
    done = None if time_ns is None else roofline.per_second(facts.madds * case.batch, time_ns)
    row = NetworkRow(
        model=case.model,
        backend=case.backend,
        precision=case.precision,
        threads=case.threads,
        madds=facts.madds,
        bytes=moved,
        madds_per_byte=facts.madds * case.batch / moved if moved else None,
        floor_ms=sum(f.floor_ns for f in floors) / 1e6 if floors else None,
        layers_bound_by_compute=sum(f.bound is Bound.COMPUTE for f in floors) if floors else None,
        layers_bound_by_memory=sum(f.bound is Bound.MEMORY for f in floors) if floors else None,
        latency_ms=time_ns and time_ns.per(1e6),
        roofline_pct=percent(roofline.estimate_of(share, level)),
        gmadds_per_s=done and done.per(1e9),
        peak_pct=percent(roofline.estimate_of(rate, level)),
        launches=len(latency),
    )
    return Measured(case=case, row=row, share=share, rate=rate)


def percent(share: Estimate | None) -> Estimate | None:
    """Return a ratio in per cent."""
    return None if share is None else share.per(0.01)
