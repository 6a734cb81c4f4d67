"""The first sentence of a report: what this run lets one say, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from mnbench.records import Caveat, Run, Verdict
from mnbench.report import environments
from mnbench.report.naming import conditions, is_null
from mnbench.report.numbers import bracketed, fixed
from mnbench.report.rows import CaseRow, ComparisonRow

LISTED = 5
DIFFERS = "outputs-differ"


def headline(run: Run, rows: Sequence[CaseRow], comparisons: Sequence[ComparisonRow], caveats: Sequence[Caveat] = ()) -> str:
    """Return a few sentences about the shortest latencies, and one on each case whose outputs are not the reference's.

    A latency of other outputs than the reference's may be that of other work, so that stands beside the latencies.
    """
    return f"{_about_latencies(run, rows, comparisons)}{_about_outputs(rows, caveats)}"


def _about_outputs(rows: Sequence[CaseRow], caveats: Sequence[Caveat]) -> str:
    names = {row.case.id: row.name for row in rows}
    told = [f"{names.get(caveat.subject, caveat.subject)}: {caveat.observed}" for caveat in caveats if caveat.code == DIFFERS]
    more = f" So do the outputs of {len(told) - LISTED} more." if len(told) > LISTED else ""
    return "".join(f" {sentence}." for sentence in told[:LISTED]) + more


def _about_latencies(run: Run, rows: Sequence[CaseRow], comparisons: Sequence[ComparisonRow]) -> str:
    """Return the sentences about the shortest latencies.

    A case is called the fastest only when the analysis compared it with the runner-up and found it faster, and no other case
    of the plan could be faster still: none was too noisy, none lacks a figure, and none that it was not found faster than has
    an interval that reaches into its own. Otherwise the shortest latencies are listed with their intervals, and the cases in
    doubt are named. Where environments are compared, the sentences are about what changed from the first one.
    """
    if run.plan.environments:
        return environments.headline(run, comparisons)
    networks = [row for row in rows if not is_null(row.case)]
    measured = sorted((row for row in networks if row.latency_ms and not row.too_noisy), key=_latency)
    unknown = {row.name: _why_unknown(row) for row in networks if row not in measured}
    where = f"On {conditions(run)}"
    if not measured:
        return f"{where}: no case has a latency that can be relied on.{_aside(unknown)}"
    if len(measured) == 1:
        return f"{where}: {measured[0].name} takes {_shown(measured[0])}.{_aside(unknown)}"
    first, second, *others = measured
    ratio = _proof(comparisons, first, second)
    rivals = {
        row.name: f"not found slower, {_shown(row)}"
        for row in others
        if _proof(comparisons, first, row) is None and _reaches(row, first)
    }
    if ratio is not None and not rivals and not unknown:
        claim = f"the fastest case is {first.name} at {_shown(first)}"
        return f"{where}, {claim}, {ratio} times the latency of {second.name}."
    listed = "; ".join(f"{row.name} {_shown(row)}" for row in measured[:LISTED])
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


def _why_unknown(row: CaseRow) -> str:
    if row.too_noisy:
        return "machine too noisy"
    return "too few launches" if row.launches else "not measured"


def _reaches(row: CaseRow, first: CaseRow) -> bool:
    """Tell whether the interval of a case reaches into that of the first one, or below it."""
    return row.latency_ms is not None and first.latency_ms is not None and row.latency_ms.low <= first.latency_ms.high


def _proof(comparisons: Sequence[ComparisonRow], first: CaseRow, second: CaseRow) -> str | None:
    """Return the ratio of the two as text if a comparison found the first faster, in either direction; else None.

    In a run in blocks, also where the ratio of the next run should lie: the interval beside it is this run's.
    """
    for row in comparisons:
        found, later = row.ratio, row.next_run
        if (row.case, row.baseline, row.verdict) == (second.case, first.case, Verdict.SLOWER):
            found, later = (ratio and ratio.under(1.0) for ratio in (found, later))
        elif (row.case, row.baseline, row.verdict) != (first.case, second.case, Verdict.FASTER):
            continue
        if found is not None:
            next_run = f" (this run; the next one {fixed(later.low, 2)} to {fixed(later.high, 2)})" if later else ""
            return f"{bracketed(found)}{next_run}"
    return None


def _latency(row: CaseRow) -> float:
    return row.latency_ms.value if row.latency_ms else 0.0


def _shown(row: CaseRow) -> str:
    return f"{bracketed(row.latency_ms)} ms"
