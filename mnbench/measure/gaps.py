"""Gaps: times in which this process did not run, or the whole machine slept, in the midst of a run."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mnbench.records import Caveat

GAP = "gap"
LEAST_GAP_S = 2.0
"""Storing a round between two turns takes some milliseconds; starting or ending a dozen workers a tenth of a second."""
LEAST_JUMP_S = 5.0
"""Of the wall clock, which is set by some milliseconds now and then, and slewed by 0.5 ms a second at most."""
MOST_TOLD = 5
"""Gaps that have a caveat of their own."""
STOPPED = "mnbench did not run (stopped by a signal, a frozen container, or a machine without a free CPU)"
SLEPT = "the machine slept"
PAUSED = "the wall clock ran ahead: the machine was paused as a virtual one, or its clock was set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One gap."""

    lasted_s: float
    why: str
    counted: bool
    """Whether the monotonic clock, and so the budget, counts it."""
    began: datetime.datetime

    def caveat(self, number: int) -> Caveat:
        """Return what is said of it, as the `number`th gap of a sitting."""
        last = "; further gaps are not listed" if number == MOST_TOLD else ""
        return Caveat(
            code=GAP,
            subject="the run",
            observed=f"a gap of {self.lasted_s:.0f} s from {self.began:%Y-%m-%d %H:%M:%S} UTC on: {self.why}{last}",
            advice="What was measured before and after it is of two times. Measure again if a ratio or latency matters; "
            "keep the machine awake meanwhile (systemd-inhibit).",
        )


def jumps_ns() -> tuple[int, int]:
    """Return by how much the clock that counts sleep is ahead of the monotonic one, and the wall clock ahead of that."""
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return boot_ns - time.monotonic_ns(), time.time_ns() - boot_ns


class GapWatch:
    """Looks at the clocks at moments between which little time should pass."""

    def __init__(self, now_ns: Callable[[], int], jumps: Callable[[], tuple[int, int]] = jumps_ns) -> None:
        """`now_ns` reads the monotonic clock; `jumps` is `jumps_ns`, or a test's own."""
        self._now_ns, self._jumps = now_ns, jumps
        self._looked_ns, self._seen = now_ns(), jumps()

    def skip(self) -> None:
        """Look away from what passed on the monotonic clock: it was waiting, and is explained."""
        self._looked_ns = self._now_ns()

    def look(self, ready_ns: int | None = None) -> Iterator[Gap]:
        """Yield the gaps since the last look; on the monotonic clock since `ready_ns`, when there was something to do again."""
        now_ns, seen = self._now_ns(), self._jumps()
        slept, ahead = ((new - old) / 1e9 for new, old in zip(seen, self._seen, strict=True))
        idle = (now_ns - (self._looked_ns if ready_ns is None else ready_ns)) / 1e9
        self._looked_ns, self._seen = now_ns, seen
        passed = ((idle, LEAST_GAP_S, STOPPED), (slept, LEAST_GAP_S, SLEPT), (ahead, LEAST_JUMP_S, PAUSED))
        for lasted_s, least_s, why in passed:
            if lasted_s >= least_s:
                began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=lasted_s)
                yield Gap(lasted_s=lasted_s, why=why, counted=why == STOPPED, began=began)
