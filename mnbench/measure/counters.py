"""What the kernel counts while a round runs: who else had the CPU, and how long the worker waited for it."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mnbench.environment import cgroup_folders

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Fields of a "cpuN" line of /proc/stat, proc(5): user, nice, system, irq, softirq; steal.
_BUSY_FIELDS = (1, 2, 3, 6, 7)
_STEAL_FIELDS = (8,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals at one moment; the difference of two says what happened in between."""

    wall_ns: int
    cpu_ns: int
    voluntary_switches: int
    involuntary_switches: int
    run_queue_wait_ns: int
    steal_ns: int
    busy_ns: int
    """Time the measured CPUs ran any task, this one included; counted in ticks of 10 ms on most kernels."""
    pressure_us: int | None
    throttled_ns: int | None

    def since(self, earlier: Counters) -> Counters:
        return Counters(
            wall_ns=self.wall_ns - earlier.wall_ns,
            cpu_ns=self.cpu_ns - earlier.cpu_ns,
            voluntary_switches=self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches=self.involuntary_switches - earlier.involuntary_switches,
            run_queue_wait_ns=self.run_queue_wait_ns - earlier.run_queue_wait_ns,
            steal_ns=self.steal_ns - earlier.steal_ns,
            busy_ns=self.busy_ns - earlier.busy_ns,
            pressure_us=_difference(self.pressure_us, earlier.pressure_us),
            throttled_ns=_difference(self.throttled_ns, earlier.throttled_ns),
        )


class CounterReader:
    """Reads the counters of this process and of the CPUs it is pinned to."""

    def __init__(self, cpus: Iterable[int], root: Path = Path("/")) -> None:
        self._names = tuple(f"cpu{cpu}" for cpu in cpus)
        self._root = root
        self._throttle_files = [folder / "cpu.stat" for folder in cgroup_folders(root) if (folder / "cpu.stat").is_file()]

    def read(self) -> Counters:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Counters(
            wall_ns=time.perf_counter_ns(),
            cpu_ns=time.process_time_ns(),
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            run_queue_wait_ns=self._run_queue_wait_ns(),
            steal_ns=self._ticks(_STEAL_FIELDS) * _TICK_NS,
            busy_ns=self._ticks(_BUSY_FIELDS) * _TICK_NS,
            pressure_us=self._pressure_us(),
            throttled_ns=self._throttled_ns(),
        )

    def _run_queue_wait_ns(self) -> int:
        """Sum the time each thread of this process was ready but not running (proc(5), schedstat's second field)."""
        waits = (_text(task / "schedstat").split() for task in (self._root / "proc/self/task").iterdir())
        return sum(int(fields[1]) for fields in waits if len(fields) > 1)

    def _ticks(self, fields: tuple[int, ...]) -> int:
        lines = (line.split() for line in _text(self._root / "proc/stat").splitlines() if line.startswith("cpu"))
        return sum(int(line[field]) for line in lines if line[0] in self._names for field in fields)

    def _pressure_us(self) -> int | None:
        match = re.search(r"^some .*total=(\d+)", _text(self._root / "proc/pressure/cpu"))
        return int(match[1]) if match else None

    def _throttled_ns(self) -> int | None:
        """Largest throttled time of the cgroups above this process: cgroup v2 counts microseconds, v1 nanoseconds."""
        found: list[int] = []
        for file in self._throttle_files:
            fields = dict(line.split() for line in _text(file).splitlines() if len(line.split()) == 2)
            if "throttled_usec" in fields:
                found.append(int(fields["throttled_usec"]) * 1000)
            elif "throttled_time" in fields:
                found.append(int(fields["throttled_time"]))
        return max(found, default=None)


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
