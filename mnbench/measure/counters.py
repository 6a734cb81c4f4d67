"""What the kernel counts while a round runs: who else had the CPU, and how long the worker waited for it."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterable, Mapping
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
    other_busy_ns: int
    """Time all other CPUs of the machine ran any task."""
    task_cpu_ns: Mapping[int, int]
    """CPU time of each thread of this process."""
    pressure_us: int | None
    throttled_ns: int | None

    def busiest_ns(self) -> int | None:
        """Of a difference: CPU time of the thread that ran most; None where the kernel does not tell it."""
        return max(self.task_cpu_ns.values(), default=None)

    def busy_threads(self) -> int:
        """Of a difference: threads that ran for more than a twentieth of it, and a millisecond."""
        return sum(1 for ran_ns in self.task_cpu_ns.values() if ran_ns > max(0.05 * self.wall_ns, 1_000_000))

    def since(self, earlier: Counters) -> Counters:
        return Counters(
            wall_ns=self.wall_ns - earlier.wall_ns,
            cpu_ns=self.cpu_ns - earlier.cpu_ns,
            voluntary_switches=self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches=self.involuntary_switches - earlier.involuntary_switches,
            run_queue_wait_ns=self.run_queue_wait_ns - earlier.run_queue_wait_ns,
            steal_ns=self.steal_ns - earlier.steal_ns,
            busy_ns=self.busy_ns - earlier.busy_ns,
            other_busy_ns=self.other_busy_ns - earlier.other_busy_ns,
            task_cpu_ns={task: ran - earlier.task_cpu_ns.get(task, 0) for task, ran in self.task_cpu_ns.items()},
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
        tasks = self._tasks()
        stat = _text(self._root / "proc/stat")  # once: two readings could disagree by a tick
        busy_ns, everywhere_ns = _ticks(stat, _BUSY_FIELDS, self._names), _ticks(stat, _BUSY_FIELDS, ("cpu",))
        return Counters(
            wall_ns=time.perf_counter_ns(),
            cpu_ns=time.process_time_ns(),
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            run_queue_wait_ns=sum(waited for _, waited in tasks.values()),
            steal_ns=_ticks(stat, _STEAL_FIELDS, self._names),
            busy_ns=busy_ns,
            other_busy_ns=everywhere_ns - busy_ns,
            task_cpu_ns={task: ran for task, (ran, _) in tasks.items()},
            pressure_us=self._pressure_us(),
            throttled_ns=self._throttled_ns(),
        )

    def _tasks(self) -> dict[int, tuple[int, int]]:
        """Return (time run, time ready but not running) of each thread of this process, in ns (proc(5), schedstat)."""
        read = ((int(task.name), _text(task / "schedstat").split()) for task in (self._root / "proc/self/task").iterdir())
        return {task: (int(fields[0]), int(fields[1])) for task, fields in read if len(fields) > 1}

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


def _ticks(stat: str, fields: tuple[int, ...], names: tuple[str, ...]) -> int:
    """Return in ns the sum of some fields of the lines of /proc/stat called `names`."""
    lines = (line.split() for line in stat.splitlines() if line.startswith("cpu"))
    return sum(int(line[field]) for line in lines if line[0] in names for field in fields) * _TICK_NS


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
