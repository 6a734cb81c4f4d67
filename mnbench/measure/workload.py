"""The reference workload: fixed arithmetic timed before and after each round, which tells how fast the CPU is just now.

On a shared host a neighbour on the same physical core makes everything slower for a while, here by up to a half, and the kernel
counts none of it: no steal, no waiting. A few matrix products that stay in the innermost caches take the same time to within
2 % while nobody interferes (docs/methodology.md), so a round beside which they took longer was measured on another machine, so
to speak. The round itself is not looked at: what is left out does not depend on what came out.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SIDE = 96
"""Rows and columns of the matrices: three of them take 108 KiB, which the second-level cache of any CPU of today holds."""
PRODUCTS = 4
"""In a repetition: 3.5 million multiply-adds, about 70 µs."""
REPETITIONS = 5
"""Of which the fastest counts: a timer interrupt is no neighbour, and the first one fetches the matrices."""
REMEMBERED = 64
"""Readings that say what is usual: those of the last 32 rounds, so that a CPU that becomes warm and slow finds a new usual."""
TOLERANCE_PCT = 3.0
"""A reading further from the usual one means another speed. For single short rounds, whose differences are looked at (sweeps,
profiles); `Plan.speed_tolerance_pct` has that of waves."""
WAIT_S = 0.02
"""Between two looks at a disturbed CPU."""


class ReferenceWorkload:
    """Times the fixed work on each of some CPUs."""

    def __init__(self, cpus: Sequence[int], now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._cpus, self._now_ns = tuple(cpus), now_ns
        self._visitor = _one_thread() if len(self._cpus) > 1 else None
        # Values of about 1 that stay so: no denormals, no infinities.
        self._left = np.full((SIDE, SIDE), 1 / SIDE, np.float32)
        self._right = np.ones((SIDE, SIDE), np.float32)
        self._product = np.empty((SIDE, SIDE), np.float32)

    @property
    def several(self) -> bool:
        """Whether the work is timed on more than one CPU."""
        return len(self._cpus) > 1

    def time_ns(self) -> int:
        """Return the time of the work on the slowest of the CPUs, in nanoseconds.

        Several CPUs are visited in turn by a thread for that, so that the calling one stays where its runtime's others are not.
        """
        return self._fastest_ns() if self._visitor is None else self._visitor.submit(self._slowest_ns).result()

    def wait_until(self, quiet_ns: int | None, patience_ns: int) -> int:
        """Wait until the work takes no longer than `quiet_ns`, for `patience_ns` at most; return how long, in ns.

        In between the process sleeps: a neighbour on the same core is not helped by one more busy thread.
        """
        started_ns = self._now_ns()
        while quiet_ns is not None and self.time_ns() > quiet_ns and self._now_ns() - started_ns < patience_ns:
            time.sleep(WAIT_S)
        return self._now_ns() - started_ns

    def _slowest_ns(self) -> int:
        slowest_ns = 0
        for cpu in self._cpus:
            os.sched_setaffinity(0, {cpu})  # of this thread alone
            slowest_ns = max(slowest_ns, self._fastest_ns())
        os.sched_setaffinity(0, self._cpus)
        return slowest_ns

    def _fastest_ns(self) -> int:
        return min(self._once_ns() for _ in range(REPETITIONS))

    def _once_ns(self) -> int:
        started_ns = self._now_ns()
        for _ in range(PRODUCTS):
            np.dot(self._left, self._right, out=self._product)
        return self._now_ns() - started_ns


STREAM_BYTES = 24 << 20
"""Of the reference stream: more than a CPU's own caches hold. A pass takes 0.8 ms, making the block 12 ms, once a launch."""
PASSES = 2
"""Of which the faster counts: the first also fetches what the network had displaced."""


class ReferenceStream:
    """Times the reading of a block of memory, on the CPU of the calling thread."""

    def __init__(self, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now_ns = now_ns
        self._block = np.ones(STREAM_BYTES // 8)

    def time_ns(self) -> int:
        """Return the time of the faster of two passes, in nanoseconds."""
        return min(self._once_ns() for _ in range(PASSES))

    def _once_ns(self) -> int:
        started_ns = self._now_ns()
        self._block.sum()
        return self._now_ns() - started_ns


def _one_thread() -> ThreadPoolExecutor:
    """Return a thread that stays: one that just ends could be met by those who look at all threads of this process."""
    from concurrent.futures import ThreadPoolExecutor  # 14 ms that a worker on one CPU need not spend on its start

    return ThreadPoolExecutor(1)


class UsualSpeed:
    """What the reference workload takes on some CPUs while nobody interferes, learnt from a run's own readings."""

    def __init__(self, tolerance_pct: float = TOLERANCE_PCT) -> None:
        self._tolerance = tolerance_pct / 100
        self._readings_ns: deque[int] = deque(maxlen=REMEMBERED)

    def remember(self, before_ns: int, after_ns: int) -> None:
        """Remember the two readings of a round."""
        self._readings_ns += (before_ns, after_ns)

    def differs(self, before_ns: int, after_ns: int) -> bool:
        """Say whether one of two remembered readings is further from the usual one than the tolerance."""
        usual_ns = self._usual_ns()
        return max(abs(before_ns - usual_ns), abs(after_ns - usual_ns)) > self._tolerance * usual_ns

    def quiet_ns(self) -> int | None:
        """Return the longest time that is still quiet; None before anything is remembered."""
        return round((1 + self._tolerance) * self._usual_ns()) if self._readings_ns else None

    def _usual_ns(self) -> int:
        """Return the lower quartile of what is remembered: that of quiet moments until three of four are not."""
        return sorted(self._readings_ns)[len(self._readings_ns) // 4]
