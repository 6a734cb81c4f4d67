"""The first sentence of a report: what this run lets one say, and no more."""

from __future__ import annotations

from mnbench.records import NULL_BACKEND, Analysis, Run, Verdict
from mnbench.report import environments
from mnbench.report.naming import conditions, networks, series
from mnbench.report.numbers import bracketed
from mnbench.report.rows import ComparisonRow, SummaryRow, comparison_rows, summary_rows, too_noisy

LISTED = 5


def headline(run: Run, analysis: Analysis) -> str:
    """Return a few sentences about the shortest latencies.

    A case is called the fastest only when the analysis compared it with the runner-up and found it faster, and no other case
    of the plan could be faster still: none was too noisy, none lacks a figure, and none that it was not found faster than has
    an interval that reaches into its own. Otherwise the shortest latencies are listed with their intervals, and the cases in
    doubt are named. Where environments are compared, the sentences are about what changed from the first one.
    """
    if run.plan.environments:
        return environments.headline(run, analysis)
    rows = [row for row in summary_rows(run, analysis) if row.backend != NULL_BACKEND]
    cases = networks(run)
    names = {case.id: f"{case.model} ({series(case, cases)})" for case in cases}
    measured = sorted((row for row in rows if row.latency_median_ms is not None and not too_noisy(row)), key=_latency)
    unknown = {names[row.case_id]: _why_unknown(row) for row in rows if row not in measured}
    where = f"On {conditions(run)}"
    if not measured:
        return f"{where}: no case has a latency that can be relied on.{_aside(unknown)}"
    if len(measured) == 1:
        return f"{where}: {names[measured[0].case_id]} takes {_shown(measured[0])}.{_aside(unknown)}"
    first, second, *others = measured
    ratio = _proof(analysis, first, second)
    rivals = {
        names[row.case_id]: f"not found slower, {_shown(row)}"
        for row in others
        if _proof(analysis, first, row) is None and _reaches(row, first)
    }
    if ratio is not None and not rivals and not unknown:
        claim = f"the fastest case is {names[first.case_id]} at {_shown(first)}"
        return f"{where}, {claim}, {ratio} times the latency of {names[second.case_id]}."
    listed = "; ".join(f"{names[row.case_id]} {_shown(row)}" for row in measured[:LISTED])
    order = " This run does not put the first two in an order." if ratio is None else ""
    doubts = _aside({**({} if ratio is None else rivals), **unknown})
    return f"{where}, the shortest latencies: {listed}.{order}{doubts}"


def _aside(doubts: dict[str, str]) -> str:
    """Return the sentence that names the cases that could be faster than those listed, and why that is not known."""
    if not doubts:
        return ""
    named = "; ".join(f"{name} ({why})" for name, why in list(doubts.items())[:LISTED])
    more = f"; and {len(doubts) - LISTED} more" if len(doubts) > LISTED else ""
    return f" Could be faster still: {named}{more}."


def _why_unknown(row: SummaryRow) -> str:
    if too_noisy(row):
        return "machine too noisy"
    return "too few launches" if row.launches else "not measured"


def _reaches(row: SummaryRow, first: SummaryRow) -> bool:
    """Tell whether the interval of a case reaches into that of the first one, or below it."""
    return (row.latency_ci_low_ms or 0.0) <= (first.latency_ci_high_ms or 0.0)


def _proof(analysis: Analysis, first: SummaryRow, second: SummaryRow) -> str | None:
    """Return the ratio of the two as text if a comparison found the first faster, in either direction; else None."""
    for row in comparison_rows(analysis):
        if row.ratio is None or row.ratio_ci_low is None or row.ratio_ci_high is None:
            continue
        if (row.case_id, row.baseline_id, row.verdict) == (first.case_id, second.case_id, Verdict.FASTER):
            return f"{bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high)}{_next_run(row, inverse=False)}"
        if (row.case_id, row.baseline_id, row.verdict) == (second.case_id, first.case_id, Verdict.SLOWER):
            return f"{bracketed(1 / row.ratio, 1 / row.ratio_ci_high, 1 / row.ratio_ci_low)}{_next_run(row, inverse=True)}"
    return None


def _next_run(row: ComparisonRow, *, inverse: bool) -> str:
    """Return where the ratio of the next run should lie, where the run says so: the interval beside it is this run's."""
    low, high = row.ratio_next_run_low, row.ratio_next_run_high
    if not low or not high:
        return ""
    low, high = (1 / high, 1 / low) if inverse else (low, high)
    return f" (this run; the next one {low:.2f} to {high:.2f})"


def _latency(row: SummaryRow) -> float:
    return row.latency_median_ms or 0.0


def _shown(row: SummaryRow) -> str:
    return f"{bracketed(row.latency_median_ms, row.latency_ci_low_ms, row.latency_ci_high_ms)} ms"
