"""The timed region. The clock is an argument everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
LEAST_TO_SETTLE = 2
"""Inferences: of a slow network one refills every cache."""
MOST_INFERENCES = 2_000
"""Per part of a round: bounds the store for sessions of microseconds, whose quartiles need no more."""


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
