"""Which other programs used the CPUs over a time, and how much memory they hold: who a steady load is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnbench.environment.kernel import kibibytes, read, whole
from mnbench.records import Neighbour

LEAST_CPUS = 0.05
"""Below it a program is not named: a desktop has dozens of these."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name, proc(5): state is the first; user time, system time, and the time of its start.
_USER, _SYSTEM, _STARTED = 11, 12, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The CPU time of every process at one moment."""

    at_s: float
    """Of the kernel's uptime."""
    ticks: Mapping[tuple[int, int], int]
    """By process number and time of its start, which together are never given twice."""


def snapshot(root: Path = Path("/")) -> Snapshot | None:
    """Return the CPU time of all processes but this one; None where the kernel does not list them."""
    uptime = (read(root / "proc/uptime") or "").split()
    try:
        at_s = float(uptime[0])
        numbers = [int(entry.name) for entry in (root / "proc").iterdir() if entry.name.isdigit()]
    except (IndexError, ValueError, OSError):
        return None
    found: dict[tuple[int, int], int] = {}
    for number in numbers:
        fields = _fields(root, number)
        if fields is not None and number != os.getpid():
            found[number, fields[2]] = fields[0] + fields[1]
    return Snapshot(at_s=at_s, ticks=found)


def since(earlier: Snapshot | None, root: Path = Path("/")) -> tuple[Neighbour, ...] | None:
    """Return the programs that have used the CPUs since a snapshot and still run, the busiest first; None where unknown.

    What began or ended meanwhile is no steady load.
    """
    now = snapshot(root)
    if earlier is None or now is None or now.at_s <= earlier.at_s:
        return None
    found = []
    for key, ticks in now.ticks.items():
        busy_cpus = (ticks - earlier.ticks.get(key, ticks)) / _TICKS_PER_S / (now.at_s - earlier.at_s)
        if busy_cpus >= LEAST_CPUS:
            folder = root / "proc" / str(key[0])
            name, resident = read(folder / "comm") or "unknown", kibibytes(folder / "status", "VmRSS")
            found.append(Neighbour(name=name, busy_cpus=round(busy_cpus, 2), resident_bytes=resident))
    return tuple(sorted(found, key=lambda neighbour: -neighbour.busy_cpus))


def _fields(root: Path, number: int) -> tuple[int, int, int] | None:
    """Return user time, system time and start of a process, in ticks; None for one that has ended, or an odd file."""
    fields = (read(root / "proc" / str(number) / "stat") or "").rpartition(")")[2].split()
    if len(fields) <= _STARTED:
        return None
    user, system, started = (whole(fields[place]) for place in (_USER, _SYSTEM, _STARTED))
    return None if user is None or system is None or started is None else (user, system, started)
