"""Which CPUs share a core, which are of one kind, and which the scheduler leaves alone: only as the kernel lists it.

The numbers of cores (`core_id`) tell nothing of siblings: two clusters of an ARM board may number theirs alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnbench.environment import arm
from mnbench.environment.kernel import read, read_cpus, read_int
from mnbench.records.host import CpuKind

SIBLINGS = ("core_cpus_list", "thread_siblings_list")
"""The same list by its new and its old name."""
UNITS = (("cpu_core", "performance cores"), ("cpu_atom", "efficiency cores"), ("cpu_lowpower", "low-power cores"))
"""What a hybrid x86 kernel counts events with, a unit for each kind of core, fastest kind first; and what such cores are."""
ALIKE = 0.9
"""Of two cores with one name, the slower one has at least this share of the other's speed if they are of one kind.
Favoured cores of one kind differ by up to 7 % (5.6 and 6.0 GHz), compact ones from others by a third."""


def siblings(root: Path) -> dict[int, tuple[int, ...]]:
    """Return by CPU all CPUs of its core, itself included. A CPU is left out where no list is told that fits the others'."""
    lists = {cpu: cpus for cpu, folder in cpu_folders(root).items() if cpu in (cpus := _listed(folder) or ())}
    return {cpu: cpus for cpu, cpus in lists.items() if all(lists.get(other, cpus) == cpus for other in cpus)}


def cores(root: Path = Path("/")) -> tuple[tuple[int, ...], ...]:
    """Return the CPUs of each physical core that the kernel describes; CPUs of one core are SMT siblings."""
    return tuple(sorted(set(siblings(root).values())))


def online(root: Path) -> tuple[int, ...] | None:
    """Return the CPUs that are on; None where the kernel does not tell."""
    return read_cpus(root / "sys/devices/system/cpu/online") or None


def isolated(root: Path) -> tuple[int, ...] | None:
    """Return the CPUs on which the scheduler puts nothing by itself (isolcpus), () for none; None where it is not told."""
    return read_cpus(root / "sys/devices/system/cpu/isolated")


def processors(root: Path) -> list[dict[str, str]]:
    """Return the fields of each block of /proc/cpuinfo, one a CPU on most kernels."""
    blocks = (read(root / "proc/cpuinfo") or "").split("\n\n")
    pairs = [[line.split(":", 1) for line in block.splitlines() if ":" in line] for block in blocks]
    return [{key.strip(): value.strip() for key, value in block} for block in pairs if block]


def arm_names(root: Path) -> dict[int, str]:
    """Return the name of the core of each CPU that /proc/cpuinfo describes as an ARM core."""
    blocks = [(block.get("processor", ""), arm.core_name(block)) for block in processors(root)]
    return {int(cpu): name for cpu, name in blocks if cpu.isdecimal() and name is not None}


def kinds(root: Path = Path("/")) -> tuple[CpuKind, ...]:
    """Return the kinds of cores of this host, fastest first: one on most hosts, none where nothing tells them apart or alike.

    Cores are of one kind when they have one name and about one speed: the capacity that the scheduler goes by, and the
    highest frequency, each where it is told.
    """
    found: list[list[_Core]] = []
    for core in sorted(_cores(root), key=lambda core: (core.rank, -(core.capacity or 0), -(core.max_khz or 0), core.cpu)):
        kind = next((kind for kind in found if _alike(kind[0], core)), None)
        if kind is None:
            found.append([core])
        else:
            kind.append(core)
    names = [kind[0].name for kind in found]
    return tuple(
        CpuKind(
            name=_named(kind[0], one=len(found) == 1, unique=names.count(kind[0].name) == 1),
            cpus=tuple(sorted(core.cpu for core in kind)),
            capacity=kind[0].capacity,
            max_mhz=None if kind[0].max_khz is None else round(kind[0].max_khz / 1000),
        )
        for kind in found
    )


def cpu_folders(root: Path) -> Mapping[int, Path]:
    """Return the folder of each CPU, on or off, in the order of their numbers."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
    return dict(sorted((int(folder.name[3:]), folder) for folder in folders if folder.name[3:].isdecimal()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What tells a CPU's kind; None and empty where it is not told."""

    cpu: int
    rank: int
    name: str
    capacity: int | None
    max_khz: int | None


def _listed(folder: Path) -> tuple[int, ...] | None:
    lists = (read_cpus(folder / "topology" / name) for name in SIBLINGS)
    return next((cpus for cpus in lists if cpus), None)


def _cores(root: Path) -> list[_Core]:
    """Return the CPUs that are on and of which anything is told."""
    units = {
        cpu: (rank, name)
        for rank, (unit, name) in enumerate(UNITS)
        for cpu in read_cpus(root / "sys/devices" / unit / "cpus") or ()
    }
    names, on = arm_names(root), online(root)
    found = []
    for cpu, folder in cpu_folders(root).items():
        rank, name = units.get(cpu, (0, _without_stepping(names.get(cpu, ""))))
        capacity, max_khz = read_int(folder / "cpu_capacity"), read_int(folder / "cpufreq/cpuinfo_max_freq")
        if (on is None or cpu in on) and (name or capacity is not None or max_khz is not None):
            found.append(_Core(cpu=cpu, rank=rank, name=name, capacity=capacity, max_khz=max_khz))
    return found


def _without_stepping(name: str) -> str:
    """Return `Cortex-A76` for `ARM Cortex-A76 r4p1`: maker and stepping are in the CPU's own name."""
    words = name.split()
    return " ".join(words[1:-1] if words[-1:] and words[-1].startswith("r") else words[1:])


def _alike(fastest: _Core, core: _Core) -> bool:
    pairs = ((fastest.capacity, core.capacity), (fastest.max_khz, core.max_khz))
    told = [(one, other) for one, other in pairs if one is not None and other is not None]
    return fastest.name == core.name and all(min(pair) >= ALIKE * max(pair) for pair in told)


def _named(fastest: _Core, *, one: bool, unique: bool) -> str:
    if one or (unique and fastest.name):
        return fastest.name
    if fastest.max_khz is not None:
        return f"{fastest.name or 'cores'} up to {fastest.max_khz / 1e6:.2g} GHz"
    return f"{fastest.name or 'cores'} of capacity {'unknown' if fastest.capacity is None else fastest.capacity}"
