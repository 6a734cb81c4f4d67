"""How fast a machine could run a network at best: the roofline model (Williams, Waterman & Patterson 2009) layer by layer.

    floor = Σ over layers of max(MAdds / peak, bytes / bandwidth)

Assumptions, each of which makes the floor lower, never higher:

- normalisation and activation functions are fused into the layer before them and cost nothing; pooling, sums of branches,
  concatenation, shuffles and changes of layout cost nothing either;
- each layer reads its input and its weights no more than once and writes its output once, in the precision's own size;
- its bytes come from the innermost level that could hold them all, as if they were there already, at the most that any
  probe moved in that level; a layer that a cache cannot hold is not charged for what spills, but goes at the next level's rate;
- multiplying and moving overlap wholly; a call costs nothing;
- products with the zeros of the padding are left out, which a kernel need not do (of a 3x3 layer at 7x7 they are 18 %).

Three it cannot do without, each of which can make the floor too high:

- peak and bandwidth are the most that our probes reached, which the machine may exceed by a few per cent;
- no layer is computed with fewer multiply-adds than its definition has (Winograd's algorithm needs fewer);
- each layer's input is read whole (a 1x1 convolution with stride 2 needs a quarter of it), and every intermediate is written
  once and read again by the next layer: no two layers are fused, which would keep it in registers or in the innermost cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mnbench.records import (
    Bandwidth,
    Case,
    Ceilings,
    Environment,
    Estimate,
    Format,
    LayerCost,
    ModelFacts,
    Peak,
    Run,
    Samples,
)
from mnbench.stats.analysis import LaunchLogs, trusted_samples
from mnbench.stats.intervals import PAIRED_METHOD, geometric_mean
from mnbench.stats.noise import noisy_cases
from mnbench.stats.rounds import TYPICAL_METHOD, launch_logs

ELEMENT_BYTES: Mapping[str, int] = {"fp32": 4, "bf16": 2, "int8": 1}
MEMORY = 0
"""Level of what no cache holds."""
MOVED_BYTES = 4
"""Of an element of a probe's buffer: float32."""
RATE_METHOD = f"work of one call over latency; {TYPICAL_METHOD}"


class Bound(StrEnum):
    """What a layer's floor is made of."""

    COMPUTE = "compute"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of the memory hierarchy, as a floor sees it."""

    level: int
    holds_bytes: int | None
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The ceilings of one precision and number of threads, as plain numbers."""

    madds_per_s: float
    levels: tuple[Level, ...]
    """Innermost first; the last one is memory and holds everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFloor:
    """The shortest time a layer can take under the assumptions above."""

    floor_ns: float
    bound: Bound
    bytes: int
    level: int
    """Where its bytes are taken to come from; 0 for memory."""


def capacities(host: Environment, threads: int) -> dict[int, int]:
    """Return by level how much the data caches hold that `threads` threads on cores of their own use together.

    A cache of each core counts `threads` times, one that all cores share once. Empty where the kernel does not tell.
    """
    found: dict[int, int] = {}
    for cache in host.caches:
        if cache.kind != "instruction":
            core_of = {cpu: core for core in host.cores for cpu in core}
            sharing = len({core_of.get(cpu, (cpu,)) for cpu in cache.shared_cpus})
            found[cache.level] = cache.size_bytes * math.ceil(threads / max(1, sharing))
    return dict(sorted(found.items()))


def ceilings_of(run: Run) -> Ceilings | None:
    """Return what the probes of a run reached; None for a run without probes, or with too few launches of them.

    A ceiling is the best kernel's. Where a level was not measured with so many threads, there are no bandwidths for them at
    all: the floor of a layer that fits there would be taken from a slower level, and be too high.
    """
    rates = list(probe_rates(run))
    peaks: dict[tuple[str, int], Peak] = {}
    bandwidths: dict[tuple[int, int], Bandwidth] = {}
    for rate in rates:
        case, estimate = rate.case, rate.per_s
        if estimate is None:
            continue
        if rate.level is None:
            best = peaks.get((case.precision, case.threads))
            if best is None or estimate.value > best.madds_per_s.value:
                peak = Peak(precision=case.precision, threads=case.threads, kernel=case.model, madds_per_s=estimate)
                peaks[case.precision, case.threads] = peak
        else:
            known = bandwidths.get((case.threads, rate.level))
            if known is None or estimate.value > known.bytes_per_s.value:
                holds = capacities(run.environment, case.threads).get(rate.level)
                bandwidths[case.threads, rate.level] = Bandwidth(
                    level=rate.level, threads=case.threads, holds_bytes=holds, kernel=case.model, bytes_per_s=estimate
                )
    wanted = {threads: (*capacities(run.environment, threads), MEMORY) for threads, _ in bandwidths}
    complete = [
        bandwidths[threads, level]
        for threads, levels in wanted.items()
        for level in levels
        if len(levels) > 1 and all((threads, each) in bandwidths for each in levels)
    ]
    return Ceilings(run_id=run.id, peaks=tuple(peaks.values()), bandwidths=tuple(complete)) if peaks or complete else None


def ceilings_for(run: Run) -> Ceilings | None:
    """Return the ceilings that a run's latencies are to be held against: its own probes', else those it was given."""
    return ceilings_of(run) or run.ceilings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one probe reached."""

    case: Case
    level: int | None
    """None for a probe that multiplies."""
    work: int
    """MAdds, or bytes read and written, of one call by all threads."""
    per_s: Estimate | None
    launches: int


def probe_rates(run: Run) -> Iterator[Rate]:
    """Yield what each probe of a run reached, in the plan's order."""
    probes = {artifact.spec.model for artifact in run.artifacts if artifact.format == Format.PROBE}
    work = {facts.model: facts for facts in run.facts if facts.model in probes}
    logs = logs_by_case(run) if work else {}
    for case in run.plan.cases:
        if (facts := work.get(case.model)) is not None:
            amount, level = _work(facts, case.threads, run.environment)
            mine = logs.get(case.id, {})
            latency = latency_of(mine, run.plan.level)
            per_s = None if latency is None else per_second(amount, latency)
            yield Rate(case=case, level=level, work=amount, per_s=per_s, launches=len(mine))


def limits(ceilings: Ceilings | None, precision: str, threads: int) -> Limits | None:
    """Return the ceilings of one precision and number of threads; None unless both peak and bandwidths were measured."""
    if ceilings is None:
        return None
    peak = next((p for p in ceilings.peaks if (p.precision, p.threads) == (precision, threads)), None)
    levels = tuple(
        Level(level=b.level, holds_bytes=b.holds_bytes, bytes_per_s=b.bytes_per_s.value)
        for b in ceilings.bandwidths
        if b.threads == threads
    )
    return Limits(madds_per_s=peak.madds_per_s.value, levels=levels) if peak is not None and levels else None


def limits_by_launch(run: Run, precision: str, threads: int) -> dict[int, Limits]:
    """Return the same from each launch by itself that ran all the kernels which set these ceilings over the whole run.

    Held against the latencies of the same launch, what the clock and the neighbours did to both cancels.
    """
    ceilings = ceilings_of(run)
    overall = limits(ceilings, precision, threads)
    if ceilings is None or overall is None:
        return {}
    rates = {(rate.case.model, rate.case.precision, rate.case.threads): rate for rate in probe_rates(run)}
    logs = logs_by_case(run)
    peak = next(p for p in ceilings.peaks if (p.precision, p.threads) == (precision, threads))
    bands = [b for b in ceilings.bandwidths if b.threads == threads]
    chosen = [rates[peak.kernel, precision, threads], *(rates[b.kernel, "fp32", threads] for b in bands)]
    common = set.intersection(*(set(logs[rate.case.id]) for rate in chosen))
    found = {}
    for launch in sorted(common):
        peak_now, *bands_now = (rate.work * 1e9 / math.exp(logs[rate.case.id][launch]) for rate in chosen)
        levels = tuple(
            Level(level=b.level, holds_bytes=b.holds_bytes, bytes_per_s=now) for b, now in zip(bands, bands_now, strict=True)
        )
        found[launch] = Limits(madds_per_s=peak_now, levels=levels)
    return found


def layer_bytes(layer: LayerCost, precision: str, batch: int = 1) -> int:
    """Return what a layer must move for `batch` images: its weights once, its input and its output once an image."""
    return ELEMENT_BYTES[precision] * (layer.params + batch * (layer.input_elements + layer.output_elements))


def layer_floor(layer: LayerCost, given: Limits, precision: str, batch: int = 1) -> LayerFloor:
    """Return the floor of one layer."""
    moved = layer_bytes(layer, precision, batch)
    level = next(each for each in given.levels if each.holds_bytes is None or moved <= each.holds_bytes)
    compute_ns = (layer.madds - layer.padding_madds) * batch / given.madds_per_s * 1e9
    memory_ns = moved / level.bytes_per_s * 1e9
    bound = Bound.COMPUTE if compute_ns >= memory_ns else Bound.MEMORY
    return LayerFloor(floor_ns=max(compute_ns, memory_ns), bound=bound, bytes=moved, level=level.level)


def floor_ns(
    layers: Sequence[LayerCost], ceilings: Ceilings | None, precision: str, threads: int, batch: int = 1
) -> float | None:
    """Return a network's floor in ns; None without layers (runs stored before they were kept) or without the ceilings."""
    given = limits(ceilings, precision, threads) if precision in ELEMENT_BYTES else None
    return sum_of_floors(layers, given, precision, batch) if layers and given is not None else None


def sum_of_floors(layers: Iterable[LayerCost], given: Limits, precision: str, batch: int = 1) -> float:
    """Return the sum of the layers' floors in ns."""
    return sum(layer_floor(layer, given, precision, batch).floor_ns for layer in layers)


def share_logs(
    layers: Sequence[LayerCost], latency: LaunchLogs, by_launch: Mapping[int, Limits], precision: str, batch: int = 1
) -> dict[int, float]:
    """Return log(floor / latency) of each launch that has both; `latency` is log(ns) by launch."""
    common = sorted(latency.keys() & by_launch.keys()) if layers else []
    return {n: math.log(sum_of_floors(layers, by_launch[n], precision, batch)) - latency[n] for n in common}


def rate_logs(madds: int, latency: LaunchLogs, by_launch: Mapping[int, Limits]) -> dict[int, float]:
    """Return log(MAdds per second / peak) of each launch that has both; `latency` is log(ns) by launch."""
    common = sorted(latency.keys() & by_launch.keys()) if madds else []
    return {n: math.log(madds * 1e9 / by_launch[n].madds_per_s) - latency[n] for n in common}


def latency_of(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the latency in ns behind its logarithms by launch; None below three launches."""
    return geometric_mean(list(logs.values()), level, TYPICAL_METHOD)


def estimate_of(logs: LaunchLogs, level: float) -> Estimate | None:
    """Return the ratio behind its logarithms by launch; None below three launches."""
    return geometric_mean([logs[launch] for launch in sorted(logs)], level, PAIRED_METHOD)


def per_second(work: int, latency_ns: Estimate) -> Estimate:
    """Return work per second from the time it takes."""
    value, low, high = (work * 1e9 / ns for ns in (latency_ns.value, latency_ns.high, latency_ns.low))
    return Estimate(value=value, low=low, high=high, level=latency_ns.level, method=RATE_METHOD)


def logs_by_case(run: Run) -> dict[str, dict[int, float]]:
    """Return log(latency in ns) by launch, of each case that has samples; empty for one too disturbed to be trusted.

    That goes for probes, too: what is left of such a probe was measured beside the same disturbance, which makes it slower, and
    a floor that is taken from it too high.
    """
    grouped: dict[str, list[Samples]] = {}
    for samples in trusted_samples(run):
        grouped.setdefault(samples.case.id, []).append(samples)
    noisy = noisy_cases(grouped)
    return {case_id: {} if case_id in noisy else launch_logs(launches) for case_id, launches in grouped.items()}


def _work(facts: ModelFacts, threads: int, host: Environment) -> tuple[int, int | None]:
    """Return the work of one call by all threads, and the level it happens in (None for MAdds)."""
    (work,) = facts.layers
    if work.madds:
        return work.madds, None
    buffers = threads * MOVED_BYTES * work.params
    level = next((level for level, size in capacities(host, threads).items() if buffers <= size), MEMORY)
    return threads * MOVED_BYTES * (work.input_elements + work.output_elements), level
