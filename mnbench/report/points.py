"""The measured figures as the plots need them: with an interval, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from mnbench.records import Verdict
from mnbench.report.rows import SummaryRow, too_noisy


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure to draw."""

    value: float
    low: float | None
    """None in the baseline's own ratio alone, which is 1 by definition."""
    high: float | None
    noisy: bool
    """The machine was too noisy while it was measured: drawn hollow, and nothing is concluded from it."""


def latency_ms(row: SummaryRow) -> Measured | None:
    """Return the latency of a case in milliseconds; None without an interval: fewer than three usable launches."""
    if row.latency_median_ms is None:
        return None
    return Measured(value=row.latency_median_ms, low=row.latency_ci_low_ms, high=row.latency_ci_high_ms, noisy=too_noisy(row))


def ratio(row: SummaryRow) -> Measured | None:
    """Return latency over that of the baseline, by the same rule as `latency_ms`."""
    if row.ratio is None:
        return None
    return Measured(value=row.ratio, low=row.ratio_ci_low, high=row.ratio_ci_high, noisy=row.verdict == Verdict.TOO_NOISY)
