"""A ratio against the limit of a gate, `--fail-if-slower PCT`: the one rule of `mnbench diff` and `mnbench compare --env`."""

from __future__ import annotations

from mnbench.records import Estimate, Verdict


def is_regression(ratio: Estimate | None, verdict: Verdict | None, limit_pct: float | None) -> bool:
    """Tell whether a slow-down is significant (verdict `slower`) and its estimate is above the limit.

    Not whether it is significantly above the limit: a gate that asked for that would let most regressions just above it pass.
    """
    if limit_pct is None or ratio is None:
        return False
    return verdict is Verdict.SLOWER and ratio.value > 1 + limit_pct / 100


def may_exceed(ratio: Estimate | None, limit_pct: float) -> bool:
    """Tell whether the interval of a ratio reaches above the limit."""
    return ratio is not None and ratio.high > 1 + limit_pct / 100
