"""What changes from minute to minute: load, pressure, steal, memory and swap."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from mnbench.environment.kernel import cpu_ticks, read

WINDOW_S = 0.5
"""Long enough for 50 ticks of 10 ms a CPU, in which the kernel counts; short beside the shortest run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """A moment's totals of /proc/stat over all CPUs, in ticks of the kernel."""

    cpus: int
    total: int
    busy: int
    steal: int

    def since(self, earlier: Ticks) -> Ticks:
        return Ticks(
            cpus=self.cpus,
            total=self.total - earlier.total,
            busy=self.busy - earlier.busy,
            steal=self.steal - earlier.steal,
        )

    @property
    def steal_pct(self) -> float | None:
        return round(100 * self.steal / self.total, 2) if self.total > 0 else None

    @property
    def busy_cpus(self) -> float | None:
        return round(self.cpus * self.busy / self.total, 2) if self.total > 0 else None


def half_a_second() -> None:
    """Sleep for the window in which other programs' use of the CPU is counted."""
    sleep(WINDOW_S)


def ticks(root: Path) -> Ticks | None:
    """Return the totals of /proc/stat; None when the kernel does not tell them.

    Columns as in proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already.
    """
    by_cpu = cpu_ticks(root)
    counts = by_cpu.get("cpu")
    if counts is None or len(by_cpu) < 2:
        return None
    idle, steal = counts[3] + counts[4], counts[7]
    return Ticks(cpus=len(by_cpu) - 1, total=sum(counts), busy=sum(counts) - idle - steal, steal=steal)


def window(root: Path, pause: Callable[[], None] | None) -> tuple[Ticks | None, Ticks | None]:
    """Return the totals since boot, and those of the time `pause` took; None where unknown."""
    before = ticks(root)
    if pause is None or before is None:
        return before, None
    pause()
    after = ticks(root)
    return after, after.since(before) if after else None


def load_average_1min(root: Path) -> float | None:
    """Return how many tasks ran or wanted to run, averaged over about a minute."""
    match = re.match(r"\d+\.\d+", read(root / "proc/loadavg") or "")
    return float(match[0]) if match else None


def pressure_pct(resource: str, root: Path) -> float | None:
    """Return the share of the last 10 s in which some task waited for `resource` (`cpu`, `memory`), in per cent."""
    match = re.search(r"^some avg10=(\d+\.\d+)", read(root / "proc/pressure" / resource) or "", re.MULTILINE)
    return float(match[1]) if match else None
