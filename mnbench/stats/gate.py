"""The gate of `mnbench compare --env … --fail-if-slower PCT`: which cases are slower than in the first environment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mnbench.records import Case, CaseResult, Comparison, Run, Verdict
from mnbench.stats.analysis import analyse
from mnbench.stats.limit import is_regression, may_exceed


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the comparisons with the first environment say against a limit."""

    fail_if_slower_pct: float
    compared: int
    """Cases of the later environments, those without a verdict among them."""
    regressions: tuple[Comparison, ...]
    """Slower at the run's level, and estimated above the limit."""
    not_ruled_out: tuple[Comparison, ...]
    """No regression, but the interval reaches above the limit."""
    not_compared: tuple[tuple[Case, str], ...]
    """Cases without a verdict, and why."""


def judge(run: Run, fail_if_slower_pct: float) -> Gate:
    """Return what the run's environments say. Every case of a later environment is a regression, is not compared, or passes.

    What counts as a regression is never "equivalent": a limit below the plan's margin narrows the margin, as in `diff`.
    """
    margin_pct = min(run.plan.equivalence_pct, fail_if_slower_pct)
    analysis = analyse(replace(run, plan=replace(run.plan, equivalence_pct=margin_pct)))
    first = run.plan.environments[0].label
    later = [result for result in analysis.results if result.case.environment not in ("", first)]
    failed = {failure.case for failure in run.failures}
    reasons = [(result, _why_not_compared(result, failed)) for result in later]
    known = [result.vs_baseline for result, reason in reasons if not reason and result.vs_baseline]
    slower = [c for c in known if is_regression(c.ratio, c.verdict, fail_if_slower_pct)]
    return Gate(
        fail_if_slower_pct=fail_if_slower_pct,
        compared=len(later),
        regressions=tuple(slower),
        not_ruled_out=tuple(c for c in known if c not in slower and may_exceed(c.ratio, fail_if_slower_pct)),
        not_compared=tuple((result.case, reason) for result, reason in reasons if reason),
    )


def _why_not_compared(result: CaseResult, failed: set[Case]) -> str:
    """Return why a case has no verdict; empty for one that has."""
    comparison = result.vs_baseline
    if comparison is None:
        return "it has no case to be compared with"
    for case in (result.case, comparison.baseline):
        if case in failed:
            return f"a launch in {case.environment} failed"
    if comparison.verdict is Verdict.TOO_NOISY:
        return "the machine was too noisy"
    return "" if comparison.ratio is not None else "fewer than three launches can be compared"
