"""One run against an earlier one, case by case: what `mnbench diff` says. Pure: records in, records out.

Launches of two runs share no wave, so they cannot be paired, and the machine may run at another speed. So a case is judged
twice: relative to the other cases of its backend, at a common speed of the memory, and relative to the reference workload.
It is faster or slower only when both say so. What all cases of a backend do together is one line of its own (`CommonShift`).
docs/methodology.md says what follows for the gate, and why `mnbench compare --env` is the better one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.records import NULL_BACKEND, Case, Caveat, Estimate, Plan, Run, Samples, Verdict
from mnbench.stats.analysis import LaunchLogs, analyse, blocks_of, common_series, decide, latency, log_margin, trusted_samples
from mnbench.stats.condition import condition_of
from mnbench.stats.covariate import adjusted_difference, stream_logs
from mnbench.stats.intervals import FEWEST_LAUNCHES, Mean, difference, holm, mean_of
from mnbench.stats.limit import is_regression
from mnbench.stats.noise import UNQUIET, is_unquiet, noisy_cases
from mnbench.stats.rounds import launch_logs, median_ns
from mnbench.stats.waves import CAUTIOUS, series_mean

SAME_LOAD_CPUS = 0.25
"""Runs beside loads that differ by more are not compared."""
OF_RATIOS = ("few-launches", UNQUIET)
"""Codes of caveats on a run's own ratios, which are not looked at here; what they stand for is a reason not to compare."""


MEMORY_MOVED_PCT = 5.0
"""From here on a common shift is not told from that of the memory, which all networks feel."""
CPU_MOVED_PCT = 3.0
COMMON_LIMIT_PCT = 3.0
"""A common shift is a finding when its whole interval lies beyond this, or beyond the limit asked for."""
METHOD = (
    "relative to the other cases of its backend in the same waves, at one speed of the memory; analysis of covariance on logs"
)
ALONE_METHOD = "relative to the reference workload; Student t, drift of the waves by AR(1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDiff:
    """One case of the old run, in both runs."""

    case: Case
    old_ns: Estimate | None
    new_ns: Estimate | None
    old_launches: int
    """Usable launches."""
    new_launches: int
    ratio: Estimate | None
    """new / old, relative to the other cases, above 1 is slower: to those of its backend if it has three or more. Of a single
    case, relative to the reference workload."""
    p_adjusted: float | None
    """The larger p of the two tests, after Holm's correction over the compared cases."""
    verdict: Verdict | None
    """None for a case that cannot be compared."""
    not_compared: str | None
    """Why it cannot be compared; None when it was."""
    regression: bool
    """Verdict `slower`, and estimated to be so by more than the limit asked for; never without a limit.

    Significant is that it is slower at all. Whether it is so by more than the limit, the interval of `ratio` says.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonShift:
    """What all cases of one backend did together between the runs. Ratios are new / old."""

    backend: str
    cases: int
    latency: Estimate
    workload_pct: float
    """By how much the reference workload took longer: the CPU's own speed."""
    memory_pct: float | None
    """The same of the reference stream; None without readings."""
    unexplained: Estimate
    """The shift of the latencies over that of the reference workload."""
    finding: Verdict
    """`slower` or `faster` when the whole interval of `unexplained` lies beyond the limit; `machine too noisy` when the
    memory's speed changed so much that nothing can be said; else `inconclusive`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A condition that differs between the runs."""

    subject: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """What two runs say about each other."""

    old_id: str
    new_id: str
    cpu_model: str
    level: float
    equivalence_pct: float
    fail_if_slower_pct: float | None
    cases: tuple[CaseDiff, ...]
    """Every case of the old run except the null backend's, in the order of its plan."""
    common: tuple[CommonShift, ...]
    only_in_new: tuple[Case, ...]
    changes: tuple[Change, ...]
    caveats: tuple[Caveat, ...]

    @property
    def not_compared(self) -> tuple[CaseDiff, ...]:
        return tuple(entry for entry in self.cases if entry.not_compared is not None)

    @property
    def regressions(self) -> tuple[CaseDiff, ...]:
        return tuple(entry for entry in self.cases if entry.regression)

    @property
    def slower_backends(self) -> tuple[CommonShift, ...]:
        """Backends that became slower as a whole; regressions where a limit was asked for."""
        return tuple(shift for shift in self.common if shift.finding is Verdict.SLOWER)

    @property
    def unknown_backends(self) -> tuple[CommonShift, ...]:
        """Backends of which that cannot be told; with a limit, a gate that has not judged them."""
        return tuple(shift for shift in self.common if shift.finding is Verdict.TOO_NOISY)


def diff(old: Run, new: Run, changes: Sequence[Change] = (), fail_if_slower_pct: float | None = None) -> RunDiff:
    """Return the verdict on every case of `old`. Level and margin are those of the new run's plan.

    With a limit below the plan's margin the margin shrinks to the limit: what counts as a regression is never "equivalent".
    """
    margin_pct = min(new.plan.equivalence_pct, math.inf if fail_if_slower_pct is None else fail_if_slower_pct)
    plan = replace(new.plan, equivalence_pct=margin_pct)
    sides = _Side(old, "OLD"), _Side(new, "NEW")
    reasons = _reasons(old, new, sides)
    return RunDiff(
        old_id=old.id,
        new_id=new.id,
        cpu_model=new.environment.cpu_model,
        level=plan.level,
        equivalence_pct=margin_pct,
        fail_if_slower_pct=fail_if_slower_pct,
        cases=tuple(_entries(sides, reasons, plan, fail_if_slower_pct)),
        common=tuple(_common(sides, reasons, plan, fail_if_slower_pct)),
        only_in_new=tuple(c for c in new.plan.cases if c not in old.plan.cases and c.backend != NULL_BACKEND),
        changes=tuple(changes),
        caveats=tuple(_caveats(old, new)),
    )


class _Side:
    """One of the two runs, reduced to what is compared: logarithms by case and wave."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        trusted = trusted_samples(run)
        self.launches: dict[Case, list[Samples]] = {}
        for samples in trusted:
            self.launches.setdefault(samples.case, []).append(samples)
        self.logs = {case: launch_logs(found) for case, found in self.launches.items()}
        self.medians = {case: launch_logs(found, statistic=median_ns) for case, found in self.launches.items()}
        self.common = common_series(logs for case, logs in self.medians.items() if case.backend != NULL_BACKEND)
        self.stream = stream_logs(trusted)
        self.workload = _workload_logs(trusted)
        self.noisy = noisy_cases(self.launches)

    def relative(self, case: Case, middles: Mapping[Case, float]) -> dict[int, float]:
        """Return, by wave, the log of a case less the mean of the others that have this wave, each over its middle.

        `middles` are the same for both runs. Without them a wave that a slow network lost would have faster others.
        """
        found = {}
        for wave, value in self.logs[case].items():
            have = [other for other in middles if other != case and wave in self.logs[other]]
            others = [self.logs[other][wave] - middles[other] for other in have]
            if others:
                found[wave] = value - statistics.fmean(others)
        return found

    def over_workload(self, case: Case) -> dict[int, float]:
        """Return, by wave, the log of a case less that of the reference workload."""
        return {wave: value - self.workload[wave] for wave, value in self.logs[case].items() if wave in self.workload}

    def latency(self, case: Case, level: float) -> Estimate | None:
        return latency(self.medians.get(case, {}), self.common, level, blocks_of(self.run))


def _workload_logs(launches: Sequence[Samples]) -> dict[int, float]:
    """Return, by wave, the median log time of the reference workload beside the undisturbed steady rounds."""
    readings: dict[int, list[float]] = {}
    for samples in launches:
        for kept in samples.rounds:
            if kept.regime == "steady" and not kept.disturbances:
                pair = (kept.workload_before_ns, kept.workload_after_ns)
                readings.setdefault(samples.launch, []).extend(math.log(ns) for ns in pair if ns)
    return {wave: statistics.median(logs) for wave, logs in readings.items() if logs}


def _reasons(old: Run, new: Run, sides: Sequence[_Side]) -> dict[Case, str | None]:
    """Return, by case of the old run, why it cannot be compared; None where it can."""
    conditions = [condition_of(run) for run in (old, new)]
    loads = " and ".join(f"{c.busy_cpus:g} busy CPUs" if c.rule != "quiet" else "a quiet machine" for c in conditions)
    differ = abs(conditions[0].busy_cpus - conditions[1].busy_cpus) > SAME_LOAD_CPUS
    reasons: dict[Case, str | None] = {}
    for case in old.plan.cases:
        if case.backend == NULL_BACKEND:
            continue
        reason = "it is missing in NEW" if case not in new.plan.cases else None
        reason = reason or (f"the runs were made beside different loads ({loads})" if differ else None)
        reasons[case] = reason or next((r for side in sides if (r := _reason(case, side))), None)
    return reasons


def _entries(
    sides: tuple[_Side, _Side], reasons: Mapping[Case, str | None], plan: Plan, limit_pct: float | None
) -> Iterator[CaseDiff]:
    """Yield each case of the old run; the p values are corrected for the number of cases that can be compared."""
    old, new = sides
    compared = [case for case, reason in reasons.items() if reason is None]
    middles = {case: statistics.fmean(statistics.fmean(side.logs[case].values()) for side in sides) for case in compared}
    tests = {case: _tests(case, _peers(case, middles), old, new) for case in compared}
    known = {case: test for case, test in tests.items() if test is not None}
    adjusted = dict(zip(known, holm([p for _, p in known.values()]), strict=True))
    equivalent = dict(zip(known, holm([mean.p_outside(log_margin(plan)) for mean, _ in known.values()]), strict=True))
    unquiet = [side.name for side in sides if is_unquiet(side.launches)]
    method = METHOD if len(compared) > 1 else ALONE_METHOD
    for case, reason in reasons.items():
        mean, _ = known.get(case, (None, None))
        ratio = None if mean is None else mean.estimate(plan.level, method)
        if reason is None and mean is None:
            reason = _unheld(old, new)
        if unquiet and ratio is not None and ratio.half_width_pct > plan.equivalence_pct:
            wide = f"more than a sixth of the rounds in {' and '.join(unquiet)} were disturbed, and its interval is wide"
            reason, ratio = f"{wide} (± {ratio.half_width_pct:.1f} %)", None
        verdict = None if ratio is None else decide(mean, adjusted[case], equivalent[case], plan)
        yield CaseDiff(
            case=case,
            old_ns=old.latency(case, plan.level),
            new_ns=new.latency(case, plan.level),
            old_launches=len(old.logs.get(case, ())),
            new_launches=len(new.logs.get(case, ())),
            ratio=ratio,
            p_adjusted=adjusted.get(case),
            verdict=verdict,
            not_compared=reason,
            regression=is_regression(ratio, verdict, limit_pct),
        )


def _peers(case: Case, middles: Mapping[Case, float]) -> Mapping[Case, float]:
    """Return the cases that a case is held against, and itself: those of its backend, or all where these are two or fewer.

    What a backend did as a whole is a `CommonShift`; among cases of another backend it would be a fault of each case.
    """
    own = {other: middle for other, middle in middles.items() if other.backend == case.backend}
    return own if len(own) > 2 else middles


def _tests(case: Case, middles: Mapping[Case, float], old: _Side, new: _Side) -> tuple[Mean, float] | None:
    """Return the difference of a case with its p: relative to the other cases, and only as sure as over the workload.

    Relative to others alone, of two cases of which one became slower the other would be faster. Of a single case there is only
    the workload, and its waves are not independent.
    """
    over = [side.over_workload(case) for side in (new, old)]
    relative = [side.relative(case, middles) for side in (new, old)]
    mean = adjusted_difference(relative[0], new.stream, relative[1], old.stream)
    if mean is None:
        alone = [series_mean(list(values.values()), CAUTIOUS) for values in over]
        if alone[0] is None or alone[1] is None or _memory_moved(old, new):
            return None
        mean = difference(alone[0], alone[1])
        return mean, mean.p()
    absolute = [mean_of(values.values()) for values in over]
    if absolute[0] is None or absolute[1] is None:
        return mean, mean.p()
    second = difference(absolute[0], absolute[1])
    agree = second.value * mean.value > 0
    return mean, max(mean.p(), second.p()) if agree else 1.0


def _common(
    sides: tuple[_Side, _Side], reasons: Mapping[Case, str | None], plan: Plan, limit_pct: float | None
) -> Iterator[CommonShift]:
    """Yield what the compared cases of each backend did together; nothing for a single case in all."""
    old, new = sides
    limit = math.log1p(max(limit_pct or 0.0, COMMON_LIMIT_PCT) / 100)
    compared = [case for case, reason in reasons.items() if reason is None]
    for backend in dict.fromkeys(case.backend for case in compared):
        cases = [case for case in compared if case.backend == backend]
        if len(compared) < 2:  # of a single case the shift is what it is judged by
            continue
        together = [_together([side.logs[case] for case in cases]) for side in (new, old)]
        over = [
            {wave: value - side.workload[wave] for wave, value in found.items() if wave in side.workload}
            for side, found in zip((new, old), together, strict=True)
        ]
        shift, unexplained = (_series_difference(*pair) for pair in (together, over))
        if shift is None or unexplained is None:
            continue
        moved = _moved(old.stream, new.stream)
        reach = unexplained.reach(plan.level)
        beyond = abs(unexplained.value) - reach > limit
        finding = (Verdict.SLOWER if unexplained.value > 0 else Verdict.FASTER) if beyond else Verdict.INCONCLUSIVE
        if beyond and _memory_moved(old, new):
            finding = Verdict.TOO_NOISY
        yield CommonShift(
            backend=backend,
            cases=len(cases),
            latency=shift.estimate(plan.level, "all cases together; Student t, drift of the waves by AR(1)"),
            workload_pct=100 * math.expm1(_moved(old.workload, new.workload) or 0.0),
            memory_pct=None if moved is None else 100 * math.expm1(moved),
            unexplained=unexplained.estimate(plan.level, ALONE_METHOD),
            finding=finding,
        )


def _together(logs: Sequence[LaunchLogs]) -> dict[int, float]:
    """Return, by wave that all cases have, the mean of their logarithms."""
    waves = sorted(set.intersection(*(set(found) for found in logs)))
    return {wave: statistics.fmean(found[wave] for found in logs) for wave in waves}


def _series_difference(new: LaunchLogs, old: LaunchLogs) -> Mean | None:
    later, earlier = (series_mean(list(found.values())) for found in (new, old))
    return None if later is None or earlier is None else difference(later, earlier)


def _moved(old: LaunchLogs, new: LaunchLogs) -> float | None:
    """Return the difference of the mean logarithms of a reference; None without readings in both."""
    return statistics.fmean(new.values()) - statistics.fmean(old.values()) if old and new else None


def _unheld(old: _Side, new: _Side) -> str:
    """Say why a case that has no others next to it was not compared with the reference workload either."""
    moved = _moved(old.stream, new.stream)
    if moved is not None and _memory_moved(old, new):
        by_pct = 100 * abs(math.expm1(moved))
        return f"the memory's speed differs by {by_pct:.1f} %, and there are no other cases to hold it against"
    return "there is nothing to hold it against: neither other cases nor readings of the reference workload"


def _memory_moved(old: _Side, new: _Side) -> bool:
    moved = _moved(old.stream, new.stream)
    return moved is not None and abs(moved) > math.log1p(MEMORY_MOVED_PCT / 100)


def _reason(case: Case, side: _Side) -> str | None:
    """Say why a case cannot be compared, as far as one of the runs tells; None when it can."""
    failed = [failure.reason.rstrip(".") for failure in side.run.failures if failure.case == case]
    launches = len(side.logs.get(case, ()))
    if launches < FEWEST_LAUNCHES:
        because = f" ({failed[-1]})" if failed else ""
        count = f"{launches or 'no'} usable launch{'' if launches == 1 else 'es'} (an interval needs {FEWEST_LAUNCHES})"
        return f"{count} in {side.name}{because}"
    if case in side.noisy:
        return f"the machine was too noisy in {side.name}"
    # A crash, a wrong output or another thread count now and then is what a gate is for, however good the other launches.
    if failed and side.name == "NEW":
        return f"{len(failed)} of its launches failed in {side.name} ({failed[-1]})"
    return None


def _caveats(old: Run, new: Run) -> Iterator[Caveat]:
    if bool(stream_logs(trusted_samples(old))) != bool(stream_logs(trusted_samples(new))):
        less = "OLD" if stream_logs(trusted_samples(new)) else "NEW"
        yield Caveat(
            code="no-stream",
            subject=f"{old.id} and {new.id}",
            observed=f"{less} has no readings of the reference stream, so the runs are not compared at one speed of the memory",
            advice=f"Measure {less} again with this version.",
        )
    for name, run in (("OLD", old), ("NEW", new)):
        if not run.finished:
            yield Caveat(
                code="unfinished-run",
                subject=f"{name}, {run.id}",
                observed="the run was interrupted before its end",
                advice=f"Before comparing, {run.plan.going_on(run.id)}",
            )
        yield from (replace(c, subject=f"{name}, {c.subject}") for c in analyse(run).caveats if c.code not in OF_RATIOS)
