"""MobileNetV1 and V2 with one to all cores and batches of one to 64: how they scale, and whether V2 stays the faster one.

The MobileNetV2 paper compares the two on one core with one image (Table 4: 75 ms for 113 ms).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mnbench import environment
from mnbench.catalog import cite
from mnbench.measure.conduct import IMAGE_BYTES, WORKER_BYTES
from mnbench.records import Case, Estimate, Plan, Run
from mnbench.records.study import Conclusion, Facts, Finding, Holds, PlotFile, StudyOptions, Table
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies import Study
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.ordering import Order, decide_all
from mnbench.studies.common.planning import sweep_plan, usable_memory_bytes
from mnbench.studies.common.slopes import ratio
from mnbench.studies.threads_batch import view
from mnbench.studies.threads_batch.scaling import (
    Lacking,
    batches_finding,
    condition_of,
    counted_threads,
    scaling_row,
    threads_findings,
)
from mnbench.studies.threads_batch.view import NETWORKS, V1, V2, RankingRow, ScalingRow

BATCHES, QUICK_BATCHES = (1, 2, 4, 8, 16, 32, 64), (1, 4, 16)
"""A sweep with batches of 64 takes a minute: in a quick study it would leave one launch, and no interval."""
BUDGET_S, QUICK_BUDGET_S = 400.0, 60.0

Condition = tuple[str, int, int]
"""Backend, threads, batch."""


def plan(options: StudyOptions) -> Plan:
    """Return a sweep over threads and batches, without the batches that would not fit into memory."""
    cores = environment.cpu_budget(cpus=options.cpus)[0]
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
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    planned = sweep_plan(cases, options, budget_s=budget_s, baseline=V1, launches=12)
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
            reason = f"they may need {needed >> 20} MiB, and {usable >> 20} MiB can be had"
            options.skipped.append(f"batch {batch} of both networks is left out: {reason}")
    return fitting


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Rank the two networks under each condition, and say how each scales."""
    logs, noisy = readings.logs_by_case(run), readings.noisy_cases(run)
    found = list(dict.fromkeys((c.backend, c.threads, c.batch) for c in run.plan.cases if c.model in NETWORKS))
    ranking = _ranking(run, found, logs)
    scaling = [scaling_row(run, case, logs) for case in run.plan.cases if case.model in NETWORKS]

    def lacking(cases: Iterable[Case]) -> str:
        names = {case.id: f"{NETWORKS[case.model]} ({condition_of(case)})" for case in cases}
        return readings.coverage(names, logs, noisy).sentence

    return Conclusion(
        findings=(
            _paper_condition(run, ranking, lacking),
            _other_conditions(run, ranking, lacking),
            batches_finding(run, scaling, logs, lacking),
            *threads_findings(run, scaling, logs, lacking),
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
        backend, threads, batch = condition
        rows.append(
            RankingRow(
                backend=backend, threads=threads, batch=batch, v2_over_v1=ratio(v2, v1, run.plan.level),
                v2_is=decided[condition].name.lower(),
            )
        )  # fmt: skip
    return rows


def _case(model: str, condition: Condition) -> Case:
    backend, threads, batch = condition
    return Case(model=model, backend=backend, threads=threads, batch=batch)


def _both(rows: Sequence[RankingRow]) -> list[Case]:
    """Return the cases that ratios of V2 over V1 rest on."""
    return [_case(model, (row.backend, row.threads, row.batch)) for row in rows for model in NETWORKS]


def _faster(rows: Sequence[RankingRow]) -> Holds:
    """Judge "V2 is faster" over conditions."""
    words = {Order.FASTER.name.lower(): Holds.YES, Order.SLOWER.name.lower(): Holds.NO}
    return combine([words.get(row.v2_is, Holds.UNDECIDED) for row in rows])


def _ratio_figures(run: Run, rows: Sequence[RankingRow]) -> list[tuple[str, str, Estimate | None]]:
    bounds = [(row, row.v2_over_v1) for row in rows]
    return [(f"V2 over V1, {condition_of(row)}", "x", estimate) for row, estimate in bounds]


def _counts(rows: Sequence[RankingRow]) -> str:
    known = [row for row in rows if row.v2_over_v1 is not None]
    words = {state: [condition_of(row) for row in known if row.v2_is == state] for state in ("faster", "slower", "undecided")}
    named = [f"{state} in {len(found)} of {len(known)}" for state, found in words.items() if found]
    exceptions = [f"{state}: {'; '.join(found)}" for state, found in words.items() if state != "faster" and 0 < len(found) <= 6]
    missing = f", of {len(rows)} planned" if len(known) < len(rows) else ""
    return readings.listed(named, "not timed") + missing + (f" ({'. '.join(exceptions)})" if exceptions else "")


def _paper_condition(run: Run, ranking: Sequence[RankingRow], lacking: Lacking) -> Finding:
    rows = [row for row in ranking if (row.threads, row.batch) == (1, 1)]
    return Finding(
        claim="MobileNetV2 is faster than MobileNetV1 on one core with one image: 75 for 113 ms, 0.66 of the time.",
        source=cite("MobileNetV2 paper", "Table 4"),
        measured=f"on one core with one image, by backend, MobileNetV2 is {_counts(rows)}.{lacking(_both(rows))}",
        figures=readings.figures(_ratio_figures(run, rows)),
        verdict=_faster(rows),
        limits="Judged is the ranking, not the paper's ratio or its milliseconds, which are those of a phone of 2016.",
    )


def _other_conditions(run: Run, ranking: Sequence[RankingRow], lacking: Lacking) -> Finding:
    rows = [row for row in ranking if (row.threads, row.batch) != (1, 1)]
    return Finding(
        claim="MobileNetV2 is faster than MobileNetV1 (claimed for one core and one image; here carried over to more of both).",
        source=cite("MobileNetV2 paper", "Table 4"),
        measured=f"under the other conditions MobileNetV2 is {_counts(rows)}. {flips(ranking)}{lacking(_both(rows))}",
        figures=readings.figures(_ratio_figures(run, rows)),
        verdict=_faster(rows),
        limits="The paper says nothing about batches or several cores. Directions are corrected for the number of conditions "
        "(Holm); each interval stands alone.",
    )


def flips(ranking: Sequence[RankingRow]) -> str:
    """Say where the ranking turns along a line of batches, or of threads, all else equal; of each line the first turn."""
    said = []
    for backend, threads in dict.fromkeys((row.backend, row.threads) for row in ranking):
        line = [row for row in ranking if (row.backend, row.threads) == (backend, threads)]
        if turned := _turn(sorted(line, key=lambda row: row.batch)):
            before, after = turned
            said.append(
                f"{backend}, {counted_threads(threads)}: {before.v2_is} at batch {before.batch}, {after.v2_is} at {after.batch}"
            )
    for backend, batch in dict.fromkeys((row.backend, row.batch) for row in ranking):
        line = [row for row in ranking if (row.backend, row.batch) == (backend, batch)]
        if turned := _turn(sorted(line, key=lambda row: row.threads)):
            before, after = turned
            with_fewer = f"{before.v2_is} with {counted_threads(before.threads)}"
            said.append(f"{backend}, batch {batch}: {with_fewer}, {after.v2_is} with {after.threads}")
    if not said:
        return "No flip with the batch or with the threads is beyond doubt."
    return f"The ranking flips: {'; '.join(said)}."


def _turn(line: Sequence[RankingRow]) -> tuple[RankingRow, RankingRow] | None:
    """Return the first decided row and the first that is decided the other way; None when all say the same."""
    sides = [row for row in line if row.v2_is != "undecided"]
    turned = next((row for row in sides if row.v2_is != sides[0].v2_is), None)
    return None if turned is None else (sides[0], turned)


STUDY = Study(
    name="threads-batch",
    question="How do MobileNetV1 and V2 scale with threads and batch, and is V2 the faster one throughout?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
