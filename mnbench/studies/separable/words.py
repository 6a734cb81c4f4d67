"""What the findings of the study `separable` share: sources, limits, and estimates in words."""

from __future__ import annotations

from mnbench.records import Citation, Estimate
from mnbench.report.numbers import bracketed

PAPER = "MobileNetV1 paper"
OWN = Citation(
    key="mnbench",
    title="Do single operators tell what a network takes?",
    year=2026,
    url="",
    locator="the study's own check",
)
"""For claims that no paper makes."""
LIMITS = (
    "One thread, fp32, random weights, input and output of an operator as its neighbours in a chain leave and want them; "
    "other CPUs and other versions of the runtimes may differ."
)


def pct(share: Estimate | None) -> str:
    """Return a share as `79.2 [77.9, 80.5] %`."""
    if share is None:
        return "(no figure)"
    return f"{bracketed(share.per(0.01))} %"


def times(estimate: Estimate | None) -> str:
    """Return a ratio as `1.23 [1.20, 1.26]`."""
    return "(no figure)" if estimate is None else bracketed(estimate)
