"""MobileNetV1 and V2 with one to all cores and batches of one to 64: how they scale, and whether V2 stays the faster one.

The MobileNetV2 paper compares the two on one core with one image (Table 4: 75 ms for 113 ms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mnbench import environment
from mnbench.catalog import cite
from mnbench.measure.conduct import IMAGE_BYTES, WORKER_BYTES
from mnbench.records import Case, Estimate, Plan, Run
from mnbench.stats.analysis import LaunchLogs
from mnbench.stats.ordering import Order, decide_all
from mnbench.stats.slopes import ratio
from mnbench.studies import Study, _measured
from mnbench.studies import _threads_batch_view as view
from mnbench.studies._cell_verdicts import combine
from mnbench.studies._planning import SWEEP_SETTLE, sweep_plan, usable_memory_bytes
from mnbench.studies._threads_batch_view import NETWORKS, V1, V2, RankingRow, ScalingRow
from mnbench.study_records import Conclusion, Facts, Finding, Holds, PlotFile, StudyOptions, Table

BATCHES, QUICK_BATCHES = (1, 2, 4, 8, 16, 32, 64), (1, 4, 16)
"""A sweep with batches of 64 takes a minute: in a quick study it would leave one launch, and no interval."""
BUDGET_S = 400.0
SETTLE = replace(SWEEP_SETTLE, max_ms=4000.0)
"""Four inferences are the fewest that can settle. At 0.6 s each they outlast a sweep's usual 400 ms, after which every second
round was marked as not settled, and repeated twice."""
ROUGHLY = 1.1
"""A figure within 10 % of what multiply-adds say counts as following them."""

Condition = tuple[str, int, int]
"""Backend, threads, batch."""


def plan(options: StudyOptions) -> Plan:
    """Return a sweep over threads and batches, without the batches that would not fit into memory."""
    cores = environment.cpu_budget()[0] if options.cpus is None else len(options.cpus)
    counts = thread_counts(cores)
    fitting = _fitting(options, workers=len(counts) * len(options.backends))
    conditions = {(threads, 1) for threads in counts}
    conditions |= {(threads, batch) for threads in (1, cores) for batch in fitting}
    cases = [
        Case(model=model, backend=backend, threads=threads, batch=batch)
        for backend in options.backends
        for threads, batch in sorted(conditions)
        for model in NETWORKS
    ]
    planned = sweep_plan(cases, options, budget_s=BUDGET_S, baseline=V1, settle=SETTLE, launches=12)
    return replace(planned, least_inferences=1)  # one inference of a large batch is a mean over its images already


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return the numbers of threads to time: powers of two, and all cores."""
    return tuple(sorted({cores, *(2**power for power in range(cores.bit_length()) if 2**power <= cores)}))


def needed_bytes(batch: int, workers: int) -> int:
    """Return the memory that a batch may take: one worker at a time has it open, while all are alive."""
    return workers * WORKER_BYTES + batch * IMAGE_BYTES


def _fitting(options: StudyOptions, workers: int) -> list[int]:
    """Return the batches that fit into memory; note the others as skipped."""
    usable, fitting = usable_memory_bytes(), []
    for batch in QUICK_BATCHES if options.quick else BATCHES:
        needed = needed_bytes(batch, workers)
        if needed <= usable:
            fitting.append(batch)
        else:
            reason = f"may need {needed >> 20} MiB, and {usable >> 20} MiB can be had"
            options.skipped.append(f"batch {batch} of both networks: {reason}")
    return fitting


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Rank the two networks under each condition, and say how each scales."""
    logs = _measured.logs_by_case(run)
    found = list(dict.fromkeys((c.backend, c.threads, c.batch) for c in run.plan.cases if c.model in NETWORKS))
    ranking = _ranking(run, found, logs)
    scaling = [_scaling_row(run, case, logs) for case in run.plan.cases if case.model in NETWORKS]
    return Conclusion(
        findings=(
            _paper_condition(run, ranking),
            _other_conditions(run, ranking),
            _batches(run, scaling),
            *_threads(run, scaling),
        ),
        tables=(
            Table(name="ranking", caption="MobileNetV2 against V1, by condition.", kind=RankingRow, rows=ranking),
            Table(name="scaling", caption="Latency, throughput and scaling of each network.", kind=ScalingRow, rows=scaling),
        ),
        plots=(
            PlotFile(name="ranking", caption="Below 1, MobileNetV2 is faster.", draw=lambda: view.ranking_plot(run, ranking)),
            PlotFile(
                name="throughput",
                caption="Images per second. A network whose cost is its multiply-adds would give level lines.",
                draw=lambda: view.throughput_plot(run, scaling),
            ),
        ),
    )


def _ranking(run: Run, found: Sequence[Condition], logs: Mapping[str, LaunchLogs]) -> list[RankingRow]:
    pairs = {condition: (logs.get(_case(V2, condition).id, {}), logs.get(_case(V1, condition).id, {})) for condition in found}
    differences = {key: [v2[n] - v1[n] for n in sorted(v2.keys() & v1.keys())] for key, (v2, v1) in pairs.items()}
    decided = decide_all(differences, run.plan.level)
    rows = []
    for condition, (v2, v1) in pairs.items():
        value, low, high = _measured.bounds(ratio(v2, v1, run.plan.level))
        backend, threads, batch = condition
        rows.append(
            RankingRow(
                backend=backend, threads=threads, batch=batch, v2_over_v1=value, v2_over_v1_low=low, v2_over_v1_high=high,
                v2_is=decided[condition].name.lower(),
            )
        )  # fmt: skip
    return rows


def _case(model: str, condition: Condition) -> Case:
    backend, threads, batch = condition
    return Case(model=model, backend=backend, threads=threads, batch=batch)


def _scaling_row(run: Run, case: Case, logs: Mapping[str, LaunchLogs]) -> ScalingRow:
    mine, level = logs[case.id], run.plan.level
    latency = _measured.latency_ms(mine, level)
    single = logs.get(replace(case, batch=1).id, {})
    alone = logs.get(replace(case, threads=1).id, {})
    per_image = {launch: log - math.log(case.batch) for launch, log in mine.items()}
    value_ms, low_ms, high_ms = _measured.bounds(latency)
    gain, gain_low, gain_high = _measured.bounds(ratio(single, per_image, level))
    speedup, speedup_low, speedup_high = _measured.bounds(ratio(alone, mine, level))
    return ScalingRow(
        network=case.model,
        backend=case.backend,
        threads=case.threads,
        batch=case.batch,
        latency_ms=value_ms,
        latency_low_ms=low_ms,
        latency_high_ms=high_ms,
        images_per_s=1000 * case.batch / value_ms if value_ms else None,
        batch_gain=gain,
        batch_gain_low=gain_low,
        batch_gain_high=gain_high,
        thread_speedup=speedup,
        thread_speedup_low=speedup_low,
        thread_speedup_high=speedup_high,
    )


def _condition(row: RankingRow | ScalingRow) -> str:
    return f"{row.backend}, {row.threads} thread{'s' if row.threads != 1 else ''}, batch {row.batch}"


def _faster(rows: Sequence[RankingRow]) -> Holds:
    """Judge "V2 is faster" over conditions."""
    words = {Order.FASTER.name.lower(): Holds.YES, Order.SLOWER.name.lower(): Holds.NO}
    return combine([words.get(row.v2_is, Holds.UNDECIDED) for row in rows])


def _ratio_figures(run: Run, rows: Sequence[RankingRow]) -> list[tuple[str, str, Estimate | None]]:
    bounds = [(row, view.estimate_of(run, row.v2_over_v1, row.v2_over_v1_low, row.v2_over_v1_high)) for row in rows]
    return [(f"V2 over V1, {_condition(row)}", "x", estimate) for row, estimate in bounds]


def _counts(rows: Sequence[RankingRow]) -> str:
    words = {state: [_condition(row) for row in rows if row.v2_is == state] for state in ("faster", "slower", "undecided")}
    named = [f"{state} in {len(found)} of {len(rows)}" for state, found in words.items() if found]
    exceptions = [f"{state}: {'; '.join(found)}" for state, found in words.items() if state != "faster" and 0 < len(found) <= 6]
    return _measured.listed(named) + (f" ({'. '.join(exceptions)})" if exceptions else "")


def _paper_condition(run: Run, ranking: Sequence[RankingRow]) -> Finding:
    rows = [row for row in ranking if (row.threads, row.batch) == (1, 1)]
    return Finding(
        claim="MobileNetV2 is faster than MobileNetV1 on one core with one image: 75 for 113 ms, 0.66 of the time.",
        source=cite("MobileNetV2 paper", "Table 4"),
        measured=f"on one core with one image, by backend, MobileNetV2 is {_counts(rows)}.",
        figures=_measured.figures(_ratio_figures(run, rows)),
        verdict=_faster(rows),
        limits="Judged is the ranking, not the paper's ratio or its milliseconds, which are those of a phone of 2016.",
    )


def _other_conditions(run: Run, ranking: Sequence[RankingRow]) -> Finding:
    rows = [row for row in ranking if (row.threads, row.batch) != (1, 1)]
    return Finding(
        claim="MobileNetV2 is faster than MobileNetV1 (claimed for one core and one image; here carried over to more of both).",
        source=cite("MobileNetV2 paper", "Table 4"),
        measured=f"under the other conditions MobileNetV2 is {_counts(rows)}. {_flips(ranking)}",
        figures=_measured.figures(_ratio_figures(run, rows)),
        verdict=_faster(rows),
        limits="The paper says nothing about batches or several cores. Directions are corrected for the number of conditions "
        "(Holm); each interval stands alone.",
    )


def _flips(ranking: Sequence[RankingRow]) -> str:
    """Say from which batch on the ranking differs from that of batch 1, line by line."""
    said = []
    for backend, threads in dict.fromkeys((row.backend, row.threads) for row in ranking):
        line = sorted((r for r in ranking if (r.backend, r.threads) == (backend, threads)), key=lambda row: row.batch)
        sides = [row for row in line if row.v2_is != "undecided"]
        turned = next((row for row in sides if row.v2_is != sides[0].v2_is), None)
        if turned is not None:
            said.append(
                f"{backend}, {threads} thread(s): {sides[0].v2_is} at batch {sides[0].batch}, {turned.v2_is} at {turned.batch}"
            )
    return f"The ranking flips with the batch: {'; '.join(said)}." if said else "No flip with the batch is beyond doubt."


def _batches(run: Run, scaling: Sequence[ScalingRow]) -> Finding:
    rows = [row for row in scaling if row.batch == max(r.batch for r in scaling if r.threads == row.threads) and row.batch > 1]
    gains = {_name(row): view.estimate_of(run, row.batch_gain, row.batch_gain_low, row.batch_gain_high) for row in rows}
    verdicts = [_level(gain) for gain in gains.values()]
    grows = [name for name, gain in gains.items() if gain is not None and gain.low > ROUGHLY]
    falls = [name for name, gain in gains.items() if gain is not None and gain.high < 1 / ROUGHLY]
    return Finding(
        claim="A network's cost is a number of multiply-adds per image (575M and 300M): a batch changes nothing in it.",
        source=cite("MobileNetV2 paper", "Table 4"),
        measured=f"with the largest batch, images per second grow by more than 10 % in {len(grows)} of {len(gains)} cases"
        f"{_in_brackets(grows)} and fall by as much in {len(falls)}{_in_brackets(falls)}.",
        figures=_measured.figures((f"images/s over batch 1: {name}", "x", gain) for name, gain in gains.items()),
        verdict=combine(verdicts),
        limits="The paper counts, and does not time batches; judged is whether throughput stays within 10 % of that of "
        "batch 1.",
    )


def _threads(run: Run, scaling: Sequence[ScalingRow]) -> list[Finding]:
    most = max((row.threads for row in scaling), default=1)
    if most == 1:
        return []  # one core: nothing to share
    rows = [row for row in scaling if row.threads == most]
    speedups = {
        _name(row): view.estimate_of(run, row.thread_speedup, row.thread_speedup_low, row.thread_speedup_high) for row in rows
    }
    full = [name for name, found in speedups.items() if found is not None and found.low >= most / ROUGHLY]
    none = [name for name, found in speedups.items() if found is not None and found.high <= 1]
    return [
        Finding(
            claim=f"Times are given for a single core; the same multiply-adds shared by {most} cores would take 1/{most} "
            "of it.",
            source=cite("MobileNetV2 paper", "Table 4"),
            measured=f"with {most} threads, {len(full)} of {len(speedups)} cases reach {most} times the speed within 10 %; "
            f"{len(none)} gain nothing{_in_brackets(none)}.",
            figures=_measured.figures((f"speed over one thread: {name}", "x", found) for name, found in speedups.items()),
            verdict=combine([_shared(found, most) for found in speedups.values()]),
            limits="The paper does not time several cores. Each case is pinned to as many CPUs as it has threads; CPUs of "
            "one machine "
            "share memory and last-level cache, and a virtual machine's CPUs may share a core.",
        )
    ]


def _level(gain: Estimate | None) -> Holds:
    if gain is None:
        return Holds.UNDECIDED
    if gain.low >= 1 / ROUGHLY and gain.high <= ROUGHLY:
        return Holds.YES
    return Holds.NO if gain.low > ROUGHLY or gain.high < 1 / ROUGHLY else Holds.UNDECIDED


def _shared(speedup: Estimate | None, threads: int) -> Holds:
    if speedup is None:
        return Holds.UNDECIDED
    if speedup.high <= 1:
        return Holds.NO
    if speedup.low >= threads / ROUGHLY:
        return Holds.YES
    return Holds.PARTLY if speedup.low > 1 and speedup.high < threads / ROUGHLY else Holds.UNDECIDED


def _name(row: ScalingRow) -> str:
    return f"{NETWORKS[row.network]}, {_condition(row)}"


def _in_brackets(names: Sequence[str]) -> str:
    return f" ({'; '.join(names)})" if 0 < len(names) <= 3 else ""


STUDY = Study(
    name="threads-batch",
    question="How do MobileNetV1 and V2 scale with threads and batch, and is V2 the faster one throughout?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
