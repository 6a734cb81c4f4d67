"""The use case of `mnbench diff`: two stored runs of one host, and whether the newer one is slower."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator
from pathlib import Path

from mnbench import environment, store
from mnbench.errors import UsageError
from mnbench.records import Run
from mnbench.stats.analysis import trusted_samples
from mnbench.stats.between_runs import CPU_MOVED_PCT, MEMORY_MOVED_PCT, Change, RunDiff
from mnbench.stats.between_runs import diff as diff_runs
from mnbench.stats.rounds import usable_rounds

SPEEDS = {
    "workload": ("the reference workload, which tells the CPU's own speed", CPU_MOVED_PCT),
    "stream": ("the reference stream, which tells the speed of the memory that the host's tenants share", MEMORY_MOVED_PCT),
}
"""What is told where it changed, and from how many per cent on: where a round would be disturbed; what drift seldom does."""
PLAN_SETTINGS = (
    "study",
    "sweep",
    "cpus",
    "cpu_sets",
    "blocks",
    "over_s",
    "seed",
    "rounds_per_launch",
    "round_target_ms",
    "least_inferences",
    "most_inferences",
    "settle_ms",
    "quiet_only",
    "regimes",
    "evict_bytes",
)


def compare(old: Path, new: Path, *, fail_if_slower_pct: float | None = None, allow_different_hosts: bool = False) -> RunDiff:
    """Return what the run directory `new` says against `old`. Writes nothing.

    Raises UnreadableRunError for a run that cannot be read, UsageError for one run twice, two hosts (unless allowed), no common
    case, nothing measured in common, or a limit that is no percentage of 0 or more.
    """
    if fail_if_slower_pct is not None and not (math.isfinite(fail_if_slower_pct) and fail_if_slower_pct >= 0):
        raise UsageError(f"--fail-if-slower must be a percentage of 0 or more, not {fail_if_slower_pct:g}.")
    before, after = store.load(old), store.load(new)
    if _same_run(before, after):
        raise UsageError(f"OLD and NEW are the same run, {after.id}: compare two runs that were measured separately.")
    hosts = tuple(map(_change, environment.host_differences(before.environment, after.environment)))
    if hosts and not allow_different_hosts:
        told = "; ".join(f"{change.subject} is {change.old!r} in OLD and {change.new!r} in NEW" for change in hosts)
        raise UsageError(f"the runs are of two hosts: {told}. If you mean it, give --allow-different-hosts.")
    changes = map(_change, (*speed_changes(before, after), *setting_changes(before, after)))
    found = diff_runs(before, after, (*hosts, *changes), fail_if_slower_pct)
    if all(entry.not_compared for entry in found.cases):
        raise UsageError(_nothing_in_common(found))
    return found


def setting_changes(old: Run, new: Run) -> Iterator[environment.Difference]:
    """Yield what else differs: software, settings, plan and artefacts."""
    yield from environment.setting_differences(old.environment, new.environment)
    for name in PLAN_SETTINGS:
        yield from environment.different(name, getattr(old.plan, name), getattr(new.plan, name))
    was_on, now_on = ([kind.name for kind in run.environment.kinds_of(run.plan.cpus)] for run in (old, new))
    yield from environment.different("kind of the measured cores", was_on, now_on)
    yield from environment.different("environments", _environments(old), _environments(new))
    was, now = _digests(old), _digests(new)
    for subject in sorted(was.keys() & now.keys()):
        yield from environment.different(subject, was[subject], now[subject])


def speed_changes(old: Run, new: Run) -> Iterator[environment.Difference]:
    """Yield how long the reference workload and the reference stream took, where that differs by more than their limits.

    It is the median of the readings beside the rounds that the ratios rest on, apart for each number of threads: a reading of
    the workload is that of the slowest of a case's CPUs.
    """
    common = {case.id for case in old.plan.cases} & {case.id for case in new.plan.cases}
    for name, (what, limit_pct) in SPEEDS.items():
        was, now = _readings_ns(old, common, name), _readings_ns(new, common, name)
        for threads in sorted(was.keys() & now.keys()):
            change_pct = 100 * (now[threads] / was[threads] - 1)
            if abs(change_pct) > limit_pct:
                than = f"{abs(change_pct):.1f} % {'longer' if change_pct > 0 else 'shorter'}"
                subject = f"{what}, took {than} (threads {threads})"
                yield subject, f"{was[threads] / 1e3:.1f} µs", f"{now[threads] / 1e3:.1f} µs"


def _readings_ns(run: Run, cases: Collection[str], name: str) -> dict[int, float]:
    readings: dict[int, list[int]] = {}
    for samples in trusted_samples(run):
        for kept in usable_rounds(samples) if samples.case.id in cases else ():
            pair = (getattr(kept, f"{name}_before_ns"), getattr(kept, f"{name}_after_ns"))
            readings.setdefault(samples.case.threads, []).extend(reading for reading in pair if reading)
    return {threads: statistics.median(found) for threads, found in readings.items() if found}


def _environments(run: Run) -> list[str]:
    return [f"{known.label}={known.artifacts or known.python}" for known in run.plan.environments]


def _digests(run: Run) -> dict[str, str]:
    """Return the digests of each artefact, those of all folders together where environments have folders of their own."""
    found: dict[str, list[str]] = {}
    for a in run.artifacts:
        name = f"artefact of {a.spec.model} ({a.format}, batch {a.spec.batch})"
        found.setdefault(name, []).extend(sorted(digest[:12] for digest in a.sha256.values()))
    return {name: " ".join(digests) for name, digests in found.items()}


def _change(difference: environment.Difference) -> Change:
    subject, old, new = difference
    return Change(subject=subject, old=_text(old), new=_text(new))


def _text(value: object) -> str:
    if value is None or value == "":
        return "not set"
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _same_run(old: Run, new: Run) -> bool:
    """Tell whether the two share launches: one directory twice, a copy of it, or a run and its resumed self."""
    if (old.id, old.started_utc) != (new.id, new.started_utc):
        return False
    known = {(s.case, s.launch): s.rounds for s in old.samples}
    return any(known.get((s.case, s.launch)) == s.rounds for s in new.samples if s.rounds)


def _nothing_in_common(found: RunDiff) -> str:
    if not found.cases:
        return f"OLD ({found.old_id}) has no case to compare."
    first = found.cases[0]
    if all(entry.not_compared == "it is missing in NEW" for entry in found.cases):
        others = ", ".join(case.id for case in found.only_in_new[:3]) or "no case"
        return f"the runs have no case in common: OLD has {first.case.id} and others, NEW has {others}."
    return f"nothing can be compared: {first.case.id}: {first.not_compared}."
