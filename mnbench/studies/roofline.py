"""This machine's ceilings, measured, and how near each runtime brings each network to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnbench import catalog, environment
from mnbench.catalog import probes
from mnbench.errors import UsageError
from mnbench.records import Artifact, Case, Estimate, Format, Plan, Run
from mnbench.report import roofline_plot
from mnbench.report.roofline_plot import CeilingRow, NetworkRow
from mnbench.stats import roofline
from mnbench.stats.paired import paired_ratio
from mnbench.stats.roofline import Bound
from mnbench.studies import Study
from mnbench.studies._planning import sweep_plan, usable_memory_bytes
from mnbench.study_records import Conclusion, Facts, Figure, Finding, Holds, PlotFile, StudyOptions, Table

V1, V2 = "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224"
NETWORKS = (V1, V2, "shufflenet_v1_g3_1.5_224", "nasnet_a_mobile_224")
BUDGET_S = 150.0

KERNELS: dict[str, tuple[str, ...]] = {
    "fp32": ("conv_k3_c256_r28", "conv_k3_c128_r56", "conv_k5_c64_r28", "conv_k7_c128_r28", "matmul_512"),
    "bf16": ("conv_k3_c256_r28", "conv_k7_c128_r28", "matmul_512"),
    "int8": ("matmul_1024", "matmul_1536"),
}
"""The fastest of about thirty that were tried on AVX-512 and AMX machines; the best of them is the ceiling. Sizes differ
because cores differ in their caches, and because all cores together need more work in one call than one core does."""
NEEDS: dict[str, frozenset[str]] = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""CPU flags, one of which a precision needs: without, its kernels run in fp32 or in scalar code, and would be no ceiling."""
SHARE_OF_CACHE = {1: 2, 2: 2}
"""Buffers are a half of the inner caches, a quarter of an outer one, which code and other programs use, too."""
MEMORY_TO_CACHE = 4
"""Buffers in memory are so many times the last-level cache."""

NEAR_PCT = 50.0
"""At half of its ceiling or more, what a network takes is mostly what the machine cannot do faster."""
SPREAD = 1.25
"""Rates that differ by more than this factor make multiply-adds a poor measure of time."""


def plan(options: StudyOptions) -> Plan:
    """Probes on one core and on all, and the networks on one core in each runtime.

    Raises UsageError where the kernel does not tell the caches' sizes, and as `sweep_plan` does.
    """
    host = environment.capture()
    if not roofline.capacities(host, 1):
        raise UsageError("the kernel does not tell the sizes of the caches, so their bandwidths cannot be measured apart.")
    all_cores = min(environment.cpu_budget()[0], len(options.cpus) if options.cpus else 1 << 16)
    models = tuple(catalog.card(name).name for name in options.models) or NETWORKS
    runtimes = [backend for backend in options.backends if backend not in ("null", "probe")]
    networks = [Case(model=model, backend=backend) for model in models for backend in runtimes]
    missing = {precision for precision, flags in NEEDS.items() if not flags & set(host.isa)}
    options.skipped.extend(f"the CPU has no {name} instructions, so there is no {name} ceiling" for name in sorted(missing))
    counts = tuple(dict.fromkeys((1, all_cores)))
    multiply = {
        threads: [
            Case(model=kernel, backend="probe", precision=precision, threads=threads)
            for precision, kernels in KERNELS.items()
            if precision not in missing
            for kernel in kernels
        ]
        for threads in counts
    }
    move = {threads: _traffic(roofline.capacities(host, threads), threads, options.skipped) for threads in counts}
    # One core's probes stand on both sides of the networks that are held against them.
    cases = [*multiply[1], *networks, *move[1], *(case for n in counts[1:] for case in (*multiply[n], *move[n]))]
    return sweep_plan(cases, options, budget_s=BUDGET_S, baseline=V2 if V2 in models else models[0], round_ms=40.0)


def _traffic(capacities: dict[int, int], threads: int, skipped: list[str]) -> list[Case]:
    """Return the reads and copies of each level, every thread in its share of it."""
    sizes = [size // SHARE_OF_CACHE.get(level, 4) // threads for level, size in capacities.items()]
    memory = max(capacities.values()) * MEMORY_TO_CACHE
    if memory > usable_memory_bytes():
        skipped.append(f"memory bandwidth with {threads} threads needs {memory >> 20} MiB")
    else:
        sizes.append(memory // threads)
    names = [probes.traffic(kind, size) for size in sizes for kind in probes.TRAFFIC]
    return [Case(model=name, backend="probe", threads=threads) for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One network in one runtime, held against the ceilings of the same launches."""

    case: Case
    row: NetworkRow
    share: dict[int, float]
    """log(floor / latency) by launch."""
    rate: dict[int, float]
    """log(rate of multiply-adds / peak) by launch."""


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Two findings, both tables and both plots, from whatever was measured."""
    ceilings = ceiling_rows(run)
    measured = measure(run)
    networks = [each.row for each in measured]
    return Conclusion(
        findings=(_near_the_ceiling(run, measured), _madds_as_proxy(run, measured)),
        tables=(
            Table(
                name="ceilings",
                caption="Every probe: GMAdds/s, or GB/s read and written together. `ceiling` marks the best of its kind. "
                "Level 0 is memory; holds_kib counts all caches of a level that the threads use.",
                kind=CeilingRow,
                rows=ceilings,
            ),
            Table(
                name="networks",
                caption="Each network in each runtime. Floor: sum over layers of max(MAdds/peak, bytes/bandwidth). roofline_pct: "
                "floor over latency, paired by launch.",
                kind=NetworkRow,
                rows=networks,
            ),
        ),
        plots=(
            PlotFile(
                name="roofline",
                caption="Each network's rate of multiply-adds over its multiply-adds per byte, under the measured ceilings.",
                draw=lambda: roofline_plot.rates(run, ceilings, networks),
            ),
            PlotFile(
                name="roofline-share",
                caption="How much of each latency the machine's measured limit explains.",
                draw=lambda: roofline_plot.shares(run, networks),
            ),
        ),
    )


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
                value=per_s.value / 1e9 if per_s else None,
                ci_low=per_s.low / 1e9 if per_s else None,
                ci_high=per_s.high / 1e9 if per_s else None,
                launches=rate.launches,
                ceiling=(case.model, case.precision, case.threads) in best,
            )
        )
    return rows


def measure(run: Run) -> list[Measured]:
    """Return each network case of a run with its floor and its rates; figures that the launches do not carry are None."""
    artifacts = {a.spec.model: a for a in run.artifacts if a.format is not Format.PROBE}
    logs = roofline.logs_by_case(run)
    by_launch: dict[tuple[str, int], dict[int, roofline.Limits]] = {}
    found = []
    for case in run.plan.cases:
        if case.model in artifacts and case.precision in roofline.ELEMENT_BYTES:
            key = (case.precision, case.threads)
            if key not in by_launch:
                by_launch[key] = roofline.limits_by_launch(run, *key)
            found.append(_measured(run, case, artifacts[case.model], logs.get(case.id, {}), by_launch[key]))
    return found


def _measured(
    run: Run, case: Case, artifact: Artifact, latency: dict[int, float], by_launch: dict[int, roofline.Limits]
) -> Measured:
    level = run.plan.level
    share = roofline.share_logs(artifact.layers, latency, by_launch, case.precision, case.batch)
    rate = roofline.rate_logs(artifact.madds * case.batch, latency, by_launch)
    overall = roofline.limits(roofline.ceilings_of(run), case.precision, case.threads)
    floors = [] if overall is None else [roofline.layer_floor(x, overall, case.precision, case.batch) for x in artifact.layers]
    moved = sum(roofline.layer_bytes(layer, case.precision, case.batch) for layer in artifact.layers)
    time_ns = roofline.latency_of(latency, level)
    done = None if time_ns is None else roofline.per_second(artifact.madds * case.batch, time_ns)
    pct, peak_pct = _percent(roofline.estimate_of(share, level)), _percent(roofline.estimate_of(rate, level))
    row = NetworkRow(
        model=case.model,
        backend=case.backend,
        precision=case.precision,
        threads=case.threads,
        madds=artifact.madds,
        bytes=moved,
        madds_per_byte=artifact.madds * case.batch / moved if moved else None,
        floor_ms=sum(f.floor_ns for f in floors) / 1e6 if floors else None,
        layers_bound_by_compute=sum(f.bound is Bound.COMPUTE for f in floors) if floors else None,
        layers_bound_by_memory=sum(f.bound is Bound.MEMORY for f in floors) if floors else None,
        latency_ms=time_ns.value / 1e6 if time_ns else None,
        latency_ci_low_ms=time_ns.low / 1e6 if time_ns else None,
        latency_ci_high_ms=time_ns.high / 1e6 if time_ns else None,
        roofline_pct=pct.value if pct else None,
        roofline_ci_low_pct=pct.low if pct else None,
        roofline_ci_high_pct=pct.high if pct else None,
        gmadds_per_s=done.value / 1e9 if done else None,
        gmadds_ci_low_per_s=done.low / 1e9 if done else None,
        gmadds_ci_high_per_s=done.high / 1e9 if done else None,
        peak_pct=peak_pct.value if peak_pct else None,
        peak_ci_low_pct=peak_pct.low if peak_pct else None,
        peak_ci_high_pct=peak_pct.high if peak_pct else None,
        launches=len(latency),
    )
    return Measured(case=case, row=row, share=share, rate=rate)


ASSUMPTIONS = (
    "The floor takes normalisation, activations, pooling and dispatch as free, each layer's input, weights and output as moved "
    "once, and its bytes as coming at the best measured rate of the innermost level that could hold them."
)


def _near_the_ceiling(run: Run, measured: Sequence[Measured]) -> Finding:
    """Is V1, being 1x1 convolutions, near what the machine can do, and nearer than the others?"""
    figures = [*_ceiling_figures(run)]
    verdicts: list[Holds] = []
    said = []
    for backend in dict.fromkeys(each.case.backend for each in measured):
        mine = [each for each in measured if each.case.backend == backend]
        figures += [
            Figure(label=f"{each.case.model} in {backend}, floor over latency", unit="%", estimate=pct)
            for each in mine
            if (pct := _percent(roofline.estimate_of(each.share, run.plan.level))) is not None
        ]
        v1 = next((each for each in mine if each.case.model == V1), None)
        near = None if v1 is None else _percent(roofline.estimate_of(v1.share, run.plan.level))
        if v1 is None or near is None:
            continue
        beaten = [other for other in mine if other is not v1 and _nearer(v1, other, run.plan.level)]
        others = len(mine) - 1
        verdicts.append(_near_verdict(near, len(beaten), others))
        said.append(
            f"in {backend} the machine's limit explains {near.value:.0f} % of V1's time, and V1 is nearer to it than "
            f"{len(beaten)} of {others} other networks"
        )
    verdict = _together(verdicts)
    if not said:
        said = ["too few launches of V1 and of the probes to hold them against each other"]
    return Finding(
        claim="MobileNet puts nearly all of its computation into dense 1x1 convolutions, which run as highly optimised matrix "
        "products (so that few multiply-adds become little time).",
        source=catalog.cite("MobileNetV1 paper", "section 3.2"),
        measured=_sentence(said),
        figures=tuple(figures),
        verdict=verdict,
        limits=f"{ASSUMPTIONS} Judged as near: at least {NEAR_PCT:.0f} % with the whole interval. One core, fp32, batch 1. The "
        "ceilings are the best of the kernels tried; peaks in other precisions are for orientation, no network ran in them here.",
    )


def _near_verdict(near: Estimate, beaten: int, others: int) -> Holds:
    if near.low >= NEAR_PCT:
        return Holds.YES if beaten == others else Holds.PARTLY
    if near.high < NEAR_PCT:
        return Holds.PARTLY if others and beaten == others else Holds.NO
    return Holds.UNDECIDED


def _nearer(one: Measured, other: Measured, level: float) -> bool:
    """Say whether the whole interval of the ratio of the two shares, paired by launch, lies above 1."""
    ratio = paired_ratio([one.share[n] - other.share[n] for n in sorted(one.share.keys() & other.share.keys())], level)
    return ratio is not None and ratio.low > 1


def _madds_as_proxy(run: Run, measured: Sequence[Measured]) -> Finding:
    """Do networks do their multiply-adds at one rate?"""
    level = run.plan.level
    figures: list[Figure] = []
    verdicts: list[Holds] = []
    said = []
    for backend in dict.fromkeys(each.case.backend for each in measured):
        mine = [(each, pct) for each in measured if each.case.backend == backend
                if (pct := _percent(roofline.estimate_of(each.rate, level))) is not None]  # fmt: skip
        figures += [
            Figure(label=f"{each.case.model} in {backend}, share of the peak rate", unit="%", estimate=pct)
            for each, pct in mine
        ]
        if len(mine) < 2:
            continue
        (best, _), (worst, _) = max(mine, key=lambda pair: pair[1].value), min(mine, key=lambda pair: pair[1].value)
        common = sorted(best.rate.keys() & worst.rate.keys())
        spread = paired_ratio([best.rate[n] - worst.rate[n] for n in common], level)
        if spread is None:
            continue
        figures.append(
            Figure(label=f"rate of {best.case.model} over {worst.case.model} in {backend}", unit="x", estimate=spread)
        )
        verdicts.append(
            Holds.YES if spread.low > SPREAD else Holds.NO if spread.high <= SPREAD else Holds.UNDECIDED
        )
        said.append(f"in {backend} {best.case.model} does its multiply-adds {spread.value:.2f} times as fast as {worst.case.model}")
    if not said:
        said = ["too few launches to compare the rates of two networks"]
    return Finding(
        claim="It is not enough to define networks in terms of a small number of multiply-adds: it also matters whether the "
        "operations can be implemented efficiently.",
        source=catalog.cite("MobileNetV1 paper", "section 3.2"),
        measured=_sentence(said),
        figures=tuple(figures),
        verdict=_together(verdicts),
        limits=f"Holds if the fastest rate is above {SPREAD:g} times the slowest with the whole interval. The two are chosen "
        "after the fact, which favours a difference; the plot shows all. One core, fp32, batch 1; share of the best fp32 kernel.",
    )


def _ceiling_figures(run: Run) -> list[Figure]:
    ceilings = roofline.ceilings_of(run)
    if ceilings is None:
        return []
    peaks = [
        Figure(label=f"peak {p.precision}, {_cores(p.threads)} ({p.kernel})", unit="GMAdds/s", estimate=_giga(p.madds_per_s))
        for p in ceilings.peaks
    ]
    bands = [
        Figure(
            label=f"bandwidth of {'memory' if not b.level else f'L{b.level}'}, {_cores(b.threads)} ({b.kernel})",
            unit="GB/s",
            estimate=_giga(b.bytes_per_s),
        )
        for b in ceilings.bandwidths
    ]
    return [*peaks, *bands]


def _cores(threads: int) -> str:
    return "1 core" if threads == 1 else f"{threads} cores"


def _giga(per_s: Estimate) -> Estimate:
    return _scaled(per_s, 1e-9)


def _percent(share: Estimate | None) -> Estimate | None:
    return None if share is None else _scaled(share, 100.0)


def _scaled(old: Estimate, factor: float) -> Estimate:
    return Estimate(
        value=old.value * factor, low=old.low * factor, high=old.high * factor, level=old.level, method=old.method
    )


def _together(verdicts: Sequence[Holds]) -> Holds:
    """Return one verdict for all runtimes: theirs, if they agree; in part, if some say yes and some no."""
    if not verdicts or Holds.UNDECIDED in verdicts:
        return Holds.UNDECIDED
    return verdicts[0] if len(set(verdicts)) == 1 else Holds.PARTLY


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


STUDY = Study(
    name="roofline",
    question="What is the most this machine can do, and how near does each runtime bring each network to it?",
    plan=plan,
    conclude=conclude,
)
