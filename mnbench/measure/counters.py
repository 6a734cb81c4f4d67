"""What the kernel counts while a round runs: who else had the CPU, and how long the worker waited for it."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnbench.environment import cgroup_folders
from mnbench.environment.kernel import cpu_ticks, read, read_fields, whole

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Columns of a CPU's line in /proc/stat, proc(5): user, nice, system, irq, softirq; steal.
_BUSY_COLUMNS = (0, 1, 2, 5, 6)
_STEAL_COLUMNS = (7,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals at one moment; the difference of two says what happened in between. None is what the kernel does not tell."""

    wall_ns: int
    cpu_ns: int
    voluntary_switches: int
    involuntary_switches: int
    page_faults: int | None
    """Pages that the kernel gave to this process without reading them from a disk (minor faults)."""
    run_queue_wait_ns: int | None
    steal_ns: int | None
    busy_ns: int | None
    """Time the measured CPUs ran any task, this one included; counted in ticks of 10 ms on most kernels."""
    other_busy_ns: int | None
    """Time all other CPUs of the machine ran any task."""
    task_cpu_ns: Mapping[int, int] | None
    """CPU time of each thread of this process."""
    pressure_us: int | None
    throttled_ns: int | None

    @property
    def busiest_ns(self) -> int | None:
        """Of a difference: CPU time of the thread that ran most; None where the kernel does not tell it."""
        return max(self.task_cpu_ns.values(), default=None) if self.task_cpu_ns else None

    @property
    def foreign_cpu_ns(self) -> int | None:
        """Of a difference: CPU time on the measured CPUs that was not this process's."""
        return None if self.busy_ns is None else max(0, self.busy_ns - self.cpu_ns)

    def busy_threads(self) -> int | None:
        """Of a difference: threads that ran for more than a twentieth of it, and a millisecond."""
        if self.task_cpu_ns is None:
            return None
        return sum(1 for ran_ns in self.task_cpu_ns.values() if ran_ns > max(0.05 * self.wall_ns, 1_000_000))

    def since(self, earlier: Counters) -> Counters:
        return Counters(
            wall_ns=self.wall_ns - earlier.wall_ns,
            cpu_ns=self.cpu_ns - earlier.cpu_ns,
            voluntary_switches=self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches=self.involuntary_switches - earlier.involuntary_switches,
            page_faults=_difference(self.page_faults, earlier.page_faults),
            run_queue_wait_ns=_difference(self.run_queue_wait_ns, earlier.run_queue_wait_ns),
            steal_ns=_difference(self.steal_ns, earlier.steal_ns),
            busy_ns=_difference(self.busy_ns, earlier.busy_ns),
            other_busy_ns=_difference(self.other_busy_ns, earlier.other_busy_ns),
            task_cpu_ns=None
            if self.task_cpu_ns is None or earlier.task_cpu_ns is None
            else {task: ran - earlier.task_cpu_ns.get(task, 0) for task, ran in self.task_cpu_ns.items()},
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
        ticks = cpu_ticks(self._root)  # read once: two readings could disagree by a tick
        busy_ns, everywhere_ns = _time_ns(ticks, _BUSY_COLUMNS, self._names), _time_ns(ticks, _BUSY_COLUMNS, ("cpu",))
        return Counters(
            wall_ns=time.perf_counter_ns(),
            cpu_ns=time.process_time_ns(),
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            page_faults=usage.ru_minflt or None,  # no process lives without one: 0 is a kernel that does not count them
            run_queue_wait_ns=None if tasks is None else sum(waited for _, waited in tasks.values()),
            steal_ns=_time_ns(ticks, _STEAL_COLUMNS, self._names),
            busy_ns=busy_ns,
            other_busy_ns=_difference(everywhere_ns, busy_ns),
            task_cpu_ns=None if tasks is None else {task: ran for task, (ran, _) in tasks.items()},
            pressure_us=self._pressure_us(),
            throttled_ns=self._throttled_ns(),
        )

    def _tasks(self) -> dict[int, tuple[int, int]] | None:
        """Return (time run, time ready but not running) of each thread of this process, in ns (proc(5), schedstat).

        None where the kernel does not count it: it has no such files, or zeros in all of them, though this thread runs.
        """
        found: dict[int, tuple[int, int]] = {}
        for task in (self._root / "proc/self/task").glob("[0-9]*"):
            times = [whole(text) for text in (read(task / "schedstat") or "").split()[:2]]
            if len(times) == 2 and times[0] is not None and times[1] is not None:
                found[int(task.name)] = (times[0], times[1])
        return found if any(ran for ran, _ in found.values()) else None

    def _pressure_us(self) -> int | None:
        match = re.search(r"^some .*total=([0-9]{1,19})", read(self._root / "proc/pressure/cpu") or "")
        return int(match[1]) if match else None

    def _throttled_ns(self) -> int | None:
        """Largest throttled time of the cgroups above this process: cgroup v2 counts microseconds, v1 nanoseconds."""
        found: list[int] = []
        for file in self._throttle_files:
            fields = read_fields(file)
            if "throttled_usec" in fields:
                found.append(fields["throttled_usec"] * 1000)
            elif "throttled_time" in fields:
                found.append(fields["throttled_time"])
        return max(found, default=None)


def _time_ns(ticks: Mapping[str, Sequence[int]], columns: tuple[int, ...], names: tuple[str, ...]) -> int | None:
    """Return the sum of some columns of the CPUs called `names`; None where the kernel does not tell one of them."""
    if not set(names) <= ticks.keys():
        return None
    return sum(ticks[name][column] for name in names for column in columns) * _TICK_NS


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier
