"""The first sentence of a report: what this run lets one say, and no more."""

from __future__ import annotations

from mnbench.records import Analysis, Run, Verdict
from mnbench.report.naming import conditions, networks, series
from mnbench.report.numbers import bracketed
from mnbench.report.rows import NULL_BACKEND, SummaryRow, comparison_rows, summary_rows

LISTED = 5


def headline(run: Run, analysis: Analysis) -> str:
    """Return one or two sentences about the shortest latencies.

    A case is called the fastest only when the analysis compared it with the runner-up and found it faster; otherwise
    the shortest medians are listed with their intervals. Cases without a figure are counted.
    """
    rows = [row for row in summary_rows(run, analysis) if row.backend != NULL_BACKEND]
    cases = networks(run)
    names = {case.id: f"{case.model} ({series(case, cases)})" for case in cases}
    measured = sorted((row for row in rows if row.latency_median_ms is not None), key=_latency)
    where = f"On {conditions(run)}"
    if not measured:
        return f"{where}: no case has a latency with an interval."
    absent = len(rows) - len(measured)
    aside = f" {absent} of {len(rows)} cases {'has' if absent == 1 else 'have'} no figure." if absent else ""
    if len(measured) == 1:
        return f"{where}: {names[measured[0].case_id]} takes {_shown(measured[0])}.{aside}"
    first, second = measured[:2]
    ratio = _proof(analysis, first, second)
    if ratio is not None:
        claim = f"the fastest case is {names[first.case_id]} at {_shown(first)}"
        return f"{where}: {claim}, {ratio} times the latency of {names[second.case_id]}.{aside}"
    listed = "; ".join(f"{names[row.case_id]} {_shown(row)}" for row in measured[:LISTED])
    return f"{where}, the shortest medians: {listed}. This run does not put the first two in an order.{aside}"


def _proof(analysis: Analysis, first: SummaryRow, second: SummaryRow) -> str | None:
    """Return the ratio of the two as text if a comparison found the first faster, in either direction; else None."""
    for row in comparison_rows(analysis):
        if row.ratio is None or row.ratio_ci_low is None or row.ratio_ci_high is None:
            continue
        if (row.case_id, row.baseline_id, row.verdict) == (first.case_id, second.case_id, Verdict.FASTER):
            return bracketed(row.ratio, row.ratio_ci_low, row.ratio_ci_high)
        if (row.case_id, row.baseline_id, row.verdict) == (second.case_id, first.case_id, Verdict.SLOWER):
            return bracketed(1 / row.ratio, 1 / row.ratio_ci_high, 1 / row.ratio_ci_low)
    return None


def _latency(row: SummaryRow) -> float:
    return row.latency_median_ms or 0.0


def _shown(row: SummaryRow) -> str:
    return f"{bracketed(row.latency_median_ms, row.latency_ci_low_ms, row.latency_ci_high_ms)} ms"
