"""The measured figures as the plots need them: with an interval, or without one and marked as such."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from mnbench.records import Case, Run
from mnbench.report.rows import NS_PER_MS, SummaryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure to draw. Without an interval it is drawn hollow, and in no table."""

    value: float
    low: float | None
    high: float | None

    @property
    def hollow(self) -> bool:
        return self.low is None


def latency_ms(run: Run, row: SummaryRow) -> Measured | None:
    """Return the latency of a case in milliseconds.

    Where the launches are too few for an interval, this is the plain median of the raw samples, without one. None where
    there is no usable sample.
    """
    if row.latency_median_ms is not None:
        return Measured(value=row.latency_median_ms, low=row.latency_ci_low_ms, high=row.latency_ci_high_ms)
    median_ms = raw_median_ms(run, row.case_id)
    return None if median_ms is None else Measured(value=median_ms, low=None, high=None)


def ratio(run: Run, row: SummaryRow, baseline: Case) -> Measured | None:
    """Return latency over that of the baseline, by the same rule as `latency_ms`."""
    if row.ratio is not None:
        return Measured(value=row.ratio, low=row.ratio_ci_low, high=row.ratio_ci_high)
    mine, theirs = raw_median_ms(run, row.case_id), raw_median_ms(run, baseline.id)
    return None if not mine or not theirs else Measured(value=mine / theirs, low=None, high=None)


def raw_median_ms(run: Run, case_id: str) -> float | None:
    """Return the median of the latencies in a case's undisturbed rounds, in milliseconds; None without any."""
    rounds = (r for samples in run.samples if samples.case.id == case_id for r in samples.rounds if not r.disturbances)
    latencies_ns = [latency_ns for r in rounds for latency_ns in r.latencies_ns]
    return statistics.median(latencies_ns) / NS_PER_MS if latencies_ns else None
