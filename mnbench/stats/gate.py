"""The gate of `mnbench compare --env … --fail-if-slower PCT`: which cases are slower than in the first environment."""

from __future__ import annotations

from dataclasses import dataclass

from mnbench.records import Analysis, Case, CaseResult, Comparison, Run, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the comparisons with the first environment say against a limit."""

    fail_if_slower_pct: float
    compared: int
    """Cases of the later environments, those without a verdict among them."""
    regressions: tuple[Comparison, ...]
    """Slower at the run's level, and estimated above the limit."""
    not_compared: tuple[tuple[Case, str], ...]
    """Cases without a verdict, and why."""


def judge(run: Run, analysis: Analysis, fail_if_slower_pct: float) -> Gate:
    """Return what the run's environments say. Every case of a later environment is a regression, is not compared, or passes."""
    first = run.plan.environments[0].label
    later = [result for result in analysis.results if result.case.environment not in ("", first)]
    failed = {failure.case for failure in run.failures}
    reasons = [(result, _why_not_compared(result, failed)) for result in later]
    return Gate(
        fail_if_slower_pct=fail_if_slower_pct,
        compared=len(later),
        regressions=tuple(
            result.vs_baseline
            for result, reason in reasons
            if not reason and result.vs_baseline and _is_regression(result.vs_baseline, fail_if_slower_pct)
        ),
        not_compared=tuple((result.case, reason) for result, reason in reasons if reason),
    )


def _is_regression(comparison: Comparison, limit_pct: float) -> bool:
    ratio = comparison.ratio
    return comparison.verdict is Verdict.SLOWER and ratio is not None and ratio.value > 1 + limit_pct / 100


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
