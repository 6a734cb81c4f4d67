"""The timed region, and the rule that says when a transient is over. The clock is an argument everywhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from mnbench.records import SettleRule

Clock = Callable[[], int]
MOST_INFERENCES = 2_000
"""Per part of a round: bounds the store for sessions of microseconds, whose median needs no more."""


def time_for(
    run: Callable[[], None],
    duration_ns: int,
    now_ns: Clock = time.perf_counter_ns,
    most: int = MOST_INFERENCES,
    least: int = 1,
) -> list[int]:
    """Return the latencies in nanoseconds of back-to-back inferences until `duration_ns` is over.

    At least `least` inferences are made; at most `most`.
    """
    latencies_ns: list[int] = []
    deadline_ns = now_ns() + duration_ns
    for made in range(1, most + 1):
        start_ns = now_ns()
        run()
        end_ns = now_ns()
        latencies_ns.append(end_ns - start_ns)
        if end_ns >= deadline_ns and made >= least:
            break
    return latencies_ns


def time_cold(
    run: Callable[[], None], evict: Callable[[], None], samples: int, now_ns: Clock = time.perf_counter_ns
) -> list[int]:
    """Return the latencies in nanoseconds of inferences that each follow a call of `evict`, which is not timed."""
    latencies_ns: list[int] = []
    for _ in range(samples):
        evict()
        latencies_ns += time_for(run, 0, now_ns, most=1)
    return latencies_ns


def settle(
    run: Callable[[], None], rule: SettleRule, now_ns: Clock = time.perf_counter_ns, most: int = MOST_INFERENCES
) -> tuple[list[int], bool]:
    """Run until two neighbouring windows have about the same median; return the latencies and whether they did.

    A switch of models costs the first inferences 15 to 21 % and is gone after 30 to 50 of them (docs/methodology.md), so the
    end is detected, not assumed. False means that `rule.max_ms` ended the wait. Raises nothing of its own.
    """
    latencies_ns: list[int] = []
    start_ns = now_ns()
    window = 2  # a first look, after which the window fits the latency
    while True:
        latencies_ns += time_for(run, 1 << 62, now_ns, most=window)
        window = window_size(rule, latencies_ns)
        elapsed_ms = (now_ns() - start_ns) / 1e6
        if len(latencies_ns) >= most or (elapsed_ms >= rule.min_ms and is_settled(latencies_ns, window, rule)):
            return latencies_ns, True
        if elapsed_ms >= rule.max_ms and len(latencies_ns) >= 2 * window:
            return latencies_ns, False


def window_size(rule: SettleRule, latencies_ns: Sequence[int]) -> int:
    """Return the inferences in a window: `rule.window`, or fewer (at least 2) when those would take longer than 40 ms.

    A network of 100 ms refills every cache within one inference; waiting for 16 of them would only cost time.
    """
    typical_ns = statistics.median(latencies_ns)
    return max(2, min(rule.window, round(40e6 / typical_ns))) if typical_ns > 0 else rule.window


def is_settled(latencies_ns: Sequence[int], window: int, rule: SettleRule) -> bool:
    """Say whether the last window's median is no more than `rule.tolerance_pct` below that of the window before."""
    if len(latencies_ns) < 2 * window:
        return False
    earlier = statistics.median(latencies_ns[-2 * window : -window])
    later = statistics.median(latencies_ns[-window:])
    return later >= earlier * (1 - rule.tolerance_pct / 100)
