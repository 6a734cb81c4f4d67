"""One run against an earlier one, case by case: what `mnbench diff` says. Pure: records in, records out.

Launches of two runs share no wave, so they cannot be paired: drift between the runs does not cancel. Of it the interval holds
only what the memory's speed did within each run. docs/methodology.md says what follows for the gate.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mnbench.records import Case, Caveat, Estimate, Plan, Run, Samples, Verdict
from mnbench.stats.analysis import (
    LaunchLogs,
    analyse,
    decide,
    judged_by_workload,
    latency,
    launch_logs,
    log_margin,
    trusted_samples,
)
from mnbench.stats.drift import drift_variance, stream_logs
from mnbench.stats.intervals import FEWEST_LAUNCHES, holm
from mnbench.stats.noise import UNQUIET, is_unquiet, noisy_cases
from mnbench.stats.welch import equivalence_p, ratio_of_independent

NULL_BACKEND = "null"
OF_RATIOS = ("few-launches", UNQUIET)
"""Codes of caveats on a run's own ratios, which are not looked at here; what they stand for is a reason not to compare."""


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
    """new / old: above 1 is slower."""
    p_adjusted: float | None
    """Welch's p, after Holm's correction over the compared cases."""
    verdict: Verdict | None
    """None for a case that cannot be compared."""
    not_compared: str | None
    """Why it cannot be compared; None when it was."""
    regression: bool
    """Slower beyond doubt, and estimated to be so by more than the limit asked for; never without a limit.

    Beyond doubt is that it is slower at all. Whether it is so by more than the limit, the interval of `ratio` says.
    """


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
    only_in_new: tuple[Case, ...]
    changes: tuple[Change, ...]
    caveats: tuple[Caveat, ...]

    @property
    def not_compared(self) -> tuple[CaseDiff, ...]:
        return tuple(entry for entry in self.cases if entry.not_compared is not None)

    @property
    def regressions(self) -> tuple[CaseDiff, ...]:
        return tuple(entry for entry in self.cases if entry.regression)


def diff(old: Run, new: Run, changes: Sequence[Change] = (), fail_if_slower_pct: float | None = None) -> RunDiff:
    """Return the verdict on every case of `old`. Level and margin are those of the new run's plan.

    With a limit below the plan's margin the margin shrinks to the limit: what counts as a regression is never "equivalent".
    """
    margin_pct = min(new.plan.equivalence_pct, math.inf if fail_if_slower_pct is None else fail_if_slower_pct)
    plan = replace(new.plan, equivalence_pct=margin_pct)
    entries = tuple(_entries(old, new, plan, fail_if_slower_pct))
    return RunDiff(
        old_id=old.id,
        new_id=new.id,
        cpu_model=new.environment.cpu_model,
        level=plan.level,
        equivalence_pct=margin_pct,
        fail_if_slower_pct=fail_if_slower_pct,
        cases=entries,
        only_in_new=tuple(c for c in new.plan.cases if c not in old.plan.cases and c.backend != NULL_BACKEND),
        changes=tuple(changes),
        caveats=tuple(_caveats(old, new)),
    )


def _entries(old: Run, new: Run, plan: Plan, limit_pct: float | None) -> Iterator[CaseDiff]:
    """Yield each case of the old run; the p values are corrected for the number of cases that can be compared."""
    old_launches, new_launches = _by_case(old), _by_case(new)
    old_logs, new_logs = _logs(old_launches), _logs(new_launches)
    old_stream, new_stream = stream_logs(trusted_samples(old)), stream_logs(trusted_samples(new))
    cases = [case for case in old.plan.cases if case.backend != NULL_BACKEND]
    runs = (
        ("OLD", old, old_launches, noisy_cases(old_launches)),
        ("NEW", new, new_launches, noisy_cases(new_launches)),
    )
    reasons = {case: _missing(case, new) or next((r for one in runs if (r := _reason(case, *one))), None) for case in cases}
    groups = {case: (list(new_logs[case].values()), list(old_logs[case].values())) for case in cases if reasons[case] is None}
    drift = {c: drift_variance(new_logs[c], new_stream) + drift_variance(old_logs[c], old_stream) for c in groups}
    tests = {
        case: test
        for case, (later, earlier) in groups.items()
        if (test := ratio_of_independent(later, earlier, plan.level, drift[case])) is not None
    }
    adjusted = dict(zip(tests, holm([p for _, p in tests.values()]), strict=True))
    outside = [equivalence_p(*groups[case], log_margin(plan), drift[case]) for case in tests]
    equivalent = dict(zip(tests, holm([p for p in outside if p is not None]), strict=True))
    unquiet = [name for name, _, launches, _ in runs if is_unquiet(launches)]
    for case in cases:
        ratio = tests[case][0] if case in tests else None
        if unquiet and ratio is not None and ratio.half_width_pct > new.plan.equivalence_pct:
            wide = f"more than a sixth of the rounds in {' and '.join(unquiet)} were disturbed, and its interval is wide"
            reasons[case], ratio = f"{wide} (± {ratio.half_width_pct:.1f} %)", None
        verdict = None if ratio is None else decide(ratio, adjusted[case], equivalent[case], plan)
        yield CaseDiff(
            case=case,
            old_ns=latency(old_logs.get(case, {}), old_stream, plan.level),
            new_ns=latency(new_logs.get(case, {}), new_stream, plan.level),
            old_launches=len(old_logs.get(case, ())),
            new_launches=len(new_logs.get(case, ())),
            ratio=ratio,
            p_adjusted=adjusted.get(case),
            verdict=verdict,
            not_compared=reasons[case],
            regression=is_regression(ratio, verdict, limit_pct),
        )


def is_regression(ratio: Estimate | None, verdict: Verdict | None, limit_pct: float | None) -> bool:
    """Tell whether a slow-down is beyond doubt (verdict `slower`) and its estimate is above the limit.

    Not whether it is above the limit beyond doubt: a gate that asked for that would let most regressions just above it pass.
    """
    if limit_pct is None or ratio is None:
        return False
    return verdict is Verdict.SLOWER and ratio.value > 1 + limit_pct / 100


def _by_case(run: Run) -> dict[Case, list[Samples]]:
    grouped: dict[Case, list[Samples]] = {}
    for launch in trusted_samples(run):
        grouped.setdefault(launch.case, []).append(launch)
    return grouped


def _logs(launches: Mapping[Case, Sequence[Samples]]) -> dict[Case, LaunchLogs]:
    return {case: launch_logs(found) for case, found in launches.items()}


def _missing(case: Case, new: Run) -> str | None:
    return None if case in new.plan.cases else "it is missing in NEW"


def _reason(case: Case, name: str, run: Run, by_case: Mapping[Case, Sequence[Samples]], noisy: Collection[Case]) -> str | None:
    """Say why a case cannot be compared, as far as one of the runs tells; None when it can."""
    failed = [failure.reason.rstrip(".") for failure in run.failures if failure.case == case]
    launches = len(launch_logs(by_case.get(case, ())))
    if launches < FEWEST_LAUNCHES:
        because = f" ({failed[-1]})" if failed else ""
        count = f"{launches or 'no'} usable launch{'' if launches == 1 else 'es'} (an interval needs {FEWEST_LAUNCHES})"
        return f"{count} in {name}{because}"
    if case in noisy:
        return f"the machine was too noisy in {name}"
    # A crash, a wrong output or another thread count now and then is what a gate is for, however good the other launches.
    if failed and name == "NEW":
        return f"{len(failed)} of its launches failed in {name} ({failed[-1]})"
    return None


def _caveats(old: Run, new: Run) -> Iterator[Caveat]:
    if judged_by_workload(old) != judged_by_workload(new):
        more, less = ("NEW", "OLD") if judged_by_workload(new) else ("OLD", "NEW")
        yield Caveat(
            code="round-selection",
            subject=f"{old.id} and {new.id}",
            observed=f"{more} leaves out the rounds beside which the CPU ran at another speed; {less}, which has no readings of"
            " the reference workload, keeps them, so a part of each ratio may come from that",
            advice=f"Measure {less} again with this version.",
        )
    if bool(stream_logs(trusted_samples(old))) != bool(stream_logs(trusted_samples(new))):
        less = "OLD" if stream_logs(trusted_samples(new)) else "NEW"
        yield Caveat(
            code="no-stream",
            subject=f"{old.id} and {new.id}",
            observed=f"{less} has no readings of the reference stream, so what its memory's drift adds is in no interval",
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
