"""How each network of the study `threads-batch` scales: what a batch gains, and what more cores do, judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mnbench.records import Case, Estimate, Run
from mnbench.records.study import Finding, Holds
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import CORRECTED, combine, family_level
from mnbench.studies.common.slopes import ratio
from mnbench.studies.threads_batch.view import NETWORKS, RankingRow, ScalingRow

ROUGHLY = 1.1
"""A figure within 10 % of what multiply-adds say counts as following them."""
READING = "a reading of the MobileNetV2 paper, Table 4"

Lacking = Callable[[Iterable[Case]], str]
"""Says which of the cases that a finding rests on have no interval, and why."""


def scaling_row(run: Run, case: Case, logs: Mapping[str, LaunchLogs]) -> ScalingRow:
    """Return what one network does under one condition; `logs` are by case id."""
    mine, level = logs[case.id], run.plan.level
    latency = readings.latency_ms(mine, level)
    return ScalingRow(
        network=case.model,
        backend=case.backend,
        threads=case.threads,
        batch=case.batch,
        latency_ms=latency,
        images_per_s=latency and latency.under(1000 * case.batch),
        batch_gain=_batch_gain(case, logs, level),
        thread_speedup=_thread_speedup(case, logs, level),
    )


def _batch_gain(case: Case, logs: Mapping[str, LaunchLogs], level: float) -> Estimate | None:
    """Return images per second over those of batch 1, other things equal."""
    per_image = {launch: log - math.log(case.batch) for launch, log in logs.get(case.id, {}).items()}
    return ratio(logs.get(replace(case, batch=1).id, {}), per_image, level)


def _thread_speedup(case: Case, logs: Mapping[str, LaunchLogs], level: float) -> Estimate | None:
    """Return the speed over that with one thread, other things equal."""
    return ratio(logs.get(replace(case, threads=1).id, {}), logs.get(case.id, {}), level)


def _case_of(row: ScalingRow) -> Case:
    return Case(model=row.network, backend=row.backend, threads=row.threads, batch=row.batch)


def condition_of(row: RankingRow | ScalingRow | Case) -> str:
    return f"{row.backend}, {counted_threads(row.threads)}, batch {row.batch}"


def counted_threads(threads: int) -> str:
    return f"{threads} thread{'s' if threads != 1 else ''}"


def batches_finding(run: Run, scaling: Sequence[ScalingRow], logs: Mapping[str, LaunchLogs], lacking: Lacking) -> Finding:
    """Judge whether throughput at the largest batch is that of batch 1."""
    rows = [row for row in scaling if row.batch == max(r.batch for r in scaling if r.threads == row.threads) and row.batch > 1]
    gains = {_name(row): row.batch_gain for row in rows}
    strict = family_level(run.plan.level, len(rows))
    judged = {_name(row): _batch_gain(_case_of(row), logs, strict) for row in rows}
    grows = [name for name, gain in judged.items() if gain is not None and gain.low > ROUGHLY]
    falls = [name for name, gain in judged.items() if gain is not None and gain.high < 1 / ROUGHLY]
    cases = [case for row in rows for case in (replace(_case_of(row), batch=1), _case_of(row))]
    return Finding(
        claim="A batch changes nothing in what an image costs (our reading of a table that gives a network's cost as a number "
        "of multiply-adds, 575M and 300M, whatever the batch).",
        source=readings.own("Does a batch change the cost of an image?", READING),
        measured=f"with the largest batch, images per second grow by more than 10 % in {len(grows)} of {_known(judged)}"
        f"{_in_brackets(grows)} and fall by as much in {len(falls)}{_in_brackets(falls)}.{lacking(cases)}",
        figures=readings.figures((f"images/s over batch 1: {name}", "x", gain) for name, gain in gains.items()),
        verdict=combine([_level(gain) for gain in judged.values()]),
        limits="The paper counts, and does not time batches; judged is whether throughput stays within 10 % of that of "
        f"batch 1. {CORRECTED}",
    )


def threads_findings(
    run: Run, scaling: Sequence[ScalingRow], logs: Mapping[str, LaunchLogs], lacking: Lacking
) -> list[Finding]:
    """Judge whether all cores together are as many times faster; nothing to judge on one core."""
    most = max((row.threads for row in scaling), default=1)
    if most == 1:
        return []  # one core: nothing to share
    rows = [row for row in scaling if row.threads == most]
    speedups = {_name(row): row.thread_speedup for row in rows}
    strict = family_level(run.plan.level, len(rows))
    judged = {_name(row): _thread_speedup(_case_of(row), logs, strict) for row in rows}
    full = [name for name, found in judged.items() if found is not None and found.low >= most / ROUGHLY]
    none = [name for name, found in judged.items() if found is not None and found.high <= 1]
    cases = [case for row in rows for case in (replace(_case_of(row), threads=1), _case_of(row))]
    return [
        Finding(
            claim=f"The same multiply-adds shared by {most} cores take 1/{most} of the time (our reading of a table that gives "
            "times for a single core).",
            source=readings.own("Do more cores share the work?", READING),
            measured=f"with {most} threads, {len(full)} of {_known(judged)} reach {most} times the speed within 10 %; "
            f"{len(none)} gain nothing{_in_brackets(none)}.{lacking(cases)}",
            figures=readings.figures((f"speed over one thread: {name}", "x", found) for name, found in speedups.items()),
            verdict=combine([_shared(found, most) for found in judged.values()]),
            limits="The paper does not time several cores. Each case is pinned to as many CPUs as it has threads; CPUs of one "
            "machine share memory and last-level cache, and a virtual machine's CPUs may share a core. "
            f"{CORRECTED}",
        )
    ]


def _known(judged: Mapping[str, Estimate | None]) -> str:
    """Return `8 cases`, or `7 cases with an interval (of 8)`."""
    known = sum(1 for found in judged.values() if found is not None)
    return f"{known} cases" if known == len(judged) else f"{known} cases with an interval (of {len(judged)})"


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
    return f"{NETWORKS[row.network]}, {condition_of(row)}"


def _in_brackets(names: Sequence[str]) -> str:
    return f" ({'; '.join(names)})" if 0 < len(names) <= 3 else ""
