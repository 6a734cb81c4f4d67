"""Which CPUs this process may keep busy: affinity, topology, and the quotas of cgroup v1 and v2."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from mnbench.environment.kernel import read
from mnbench.errors import UsageError

MOST_CPUS = 8191
"""Linux numbers CPUs up to CONFIG_NR_CPUS, 8192 at most on x86."""


def cpu_budget(root: Path = Path("/")) -> tuple[int, str]:
    """Return the most threads this process may keep busy, and which limit decides.

    min(affinity, cpuset, cgroup v1/v2 quota, physical cores): the affinity mask holds the cpuset already, because the kernel
    intersects the two.
    """
    affinity = os.sched_getaffinity(0)
    cores = core_of_cpu(root)
    limits = {
        "CPUs in the affinity mask": len(affinity),
        "physical cores in the affinity mask": len({cores.get(cpu, (0, cpu)) for cpu in affinity}),
    }
    quota = cgroup_cpu_quota(root)
    if quota is not None:
        limits["CPUs of the cgroup's quota"] = max(1, math.floor(quota))
    reason = min(limits, key=lambda name: limits[name])
    return limits[reason], reason


def choose_cpus(threads: int, requested: Iterable[int] | None = None, root: Path = Path("/")) -> tuple[int, ...]:
    """Return the CPUs a launch is pinned to: one per physical core, never two SMT siblings.

    Without `requested`, the highest-numbered cores are taken, since the low ones serve most interrupts.
    Raises UsageError for more threads than the budget, an unknown or forbidden CPU, siblings, or too few CPUs.
    """
    budget, reason = cpu_budget(root)
    if threads > budget:
        raise UsageError(
            f"{threads} threads were asked for, but this process may use {budget} ({reason}); give --threads {budget} or fewer."
        )
    allowed = sorted(os.sched_getaffinity(0))
    cores = core_of_cpu(root)
    if requested is None:
        one_per_core = {cores.get(cpu, (0, cpu)): cpu for cpu in reversed(allowed)}
        return tuple(sorted(sorted(one_per_core.values())[-threads:]))
    cpus = tuple(sorted(set(requested)))
    if unknown := [cpu for cpu in cpus if cpu not in allowed]:
        raise UsageError(f"CPU {unknown[0]} is not one this process may use; --cpus can name {cpu_list(allowed)}.")
    if len({cores.get(cpu, (0, cpu)) for cpu in cpus}) < len(cpus):
        raise UsageError(f"--cpus {cpu_list(cpus)} names two SMT siblings of one core; name one CPU per core.")
    if len(cpus) < threads:
        raise UsageError(f"--cpus {cpu_list(cpus)} gives {len(cpus)} for {threads} threads; name at least {threads}.")
    return cpus


def cgroup_cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process's cgroup in CPUs (the tightest one up to the root), or None without one."""
    quotas = [quota for folder in cgroup_folders(root) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def cgroup_folders(root: Path = Path("/"), controller: str = "cpu") -> list[Path]:
    """Return the folders of this process's cgroup of a controller, from its own up to the mount point, for v1 and v2."""
    folders: list[Path] = []
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            bases = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / name for name in dict.fromkeys((controller, controllers))]
        else:
            continue
        for base in bases:
            folder = base / path.lstrip("/")
            while folder != base.parent and base in (folder, *folder.parents):
                folders.append(folder)
                folder = folder.parent
    return [folder for folder in folders if folder.is_dir()]


def cpuset(root: Path = Path("/")) -> tuple[int, ...] | None:
    """Return the CPUs this process's cgroup may use, as cgroup v2 or v1 tells them; None without a cpuset."""
    for folder in cgroup_folders(root, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if text := read(folder / name):
                return parse_cpus(text)
    return None


def cores(root: Path = Path("/")) -> tuple[tuple[int, ...], ...]:
    """Return the CPUs of each physical core that the kernel describes; CPUs of one core are SMT siblings."""
    grouped: dict[tuple[int, int], list[int]] = {}
    for cpu, core in sorted(core_of_cpu(root).items()):
        grouped.setdefault(core, []).append(cpu)
    return tuple(tuple(cpus) for cpus in grouped.values())


def parse_cpus(text: str) -> tuple[int, ...]:
    """Parse a kernel-style CPU list: `0`, `0,2`, `1-3`. Raises UsageError."""
    cpus: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UsageError(f"{text!r} is not a list of CPUs; write it as 0, 0,2 or 1-3.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{part.strip()!r} is not a range of CPUs; write the smaller number first.")
        if last > MOST_CPUS:
            raise UsageError(f"CPU {last} is not one any kernel has; the largest number is {MOST_CPUS}.")
        cpus.extend(range(first, last + 1))
    return tuple(cpus)


def _quota_of(folder: Path) -> float | None:
    v2 = read(folder / "cpu.max")
    if v2 is not None:
        limit, _, period = v2.partition(" ")
        return None if limit == "max" else int(limit) / int(period or 100_000)
    v1, period_v1 = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    if v1 is None or period_v1 is None or int(v1) <= 0:
        return None
    return int(v1) / int(period_v1)


def core_of_cpu(root: Path) -> dict[int, tuple[int, int]]:
    """Return (package, core) of each CPU the kernel describes."""
    cores: dict[int, tuple[int, int]] = {}
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        package, core = read(folder / "topology/physical_package_id"), read(folder / "topology/core_id")
        if package is not None and core is not None:
            cores[int(folder.name[3:])] = (int(package), int(core))
    return cores


def cpu_list(cpus: Iterable[int]) -> str:
    return ",".join(str(cpu) for cpu in cpus)
