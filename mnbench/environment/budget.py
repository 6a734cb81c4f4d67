"""Which CPUs this process may keep busy: affinity, topology, kinds of cores, and the quotas of cgroup v1 and v2."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mnbench.environment import topology
from mnbench.environment.cpu_lists import cpu_list
from mnbench.environment.kernel import cgroups, read, read_cpus, whole
from mnbench.errors import UsageError


def cpu_budget(root: Path = Path("/"), cpus: Iterable[int] | None = None) -> tuple[int, str]:
    """Return the most threads this process may keep busy on `cpus`, and which limit decides.

    Without `cpus`, these are the CPUs of the affinity mask (which holds the cpuset already, because the kernel intersects the
    two) that are of the fastest kind. The limits are the CPUs, their physical cores, and the cgroup's quota.
    """
    where, usable = "named", tuple(cpus) if cpus is not None else ()
    if cpus is None:
        kind, usable = _fastest(sorted(os.sched_getaffinity(0)), root)
        where = f"that are {kind}" if kind else "in the affinity mask"
    limits = {f"CPUs {where}": len(usable), f"physical cores {where}": len(_by_core(usable, root))}
    quota = cgroup_cpu_quota(root)
    if quota is not None and not math.isinf(quota):
        limits["CPUs of the cgroup's quota"] = max(1, math.floor(quota))
    reason = min(limits, key=lambda name: limits[name])
    return limits[reason], reason


def choose_cpus(threads: int, requested: Iterable[int] | None = None, root: Path = Path("/")) -> tuple[int, ...]:
    """Return the CPUs a launch is pinned to: one per physical core, never two SMT siblings.

    Without `requested`, the highest-numbered cores of the fastest kind are taken, since the low ones serve most interrupts;
    kinds are never mixed. `requested` may name isolated CPUs, which no affinity mask holds.
    Raises UsageError for more threads than the budget, an unknown or forbidden CPU, siblings, or too few CPUs.
    """
    cpus = None if requested is None else tuple(sorted(set(requested)))
    affinity = sorted(os.sched_getaffinity(0))
    if cpus is not None:
        allowed = sorted({*affinity, *reachable(root)})
        if unknown := [cpu for cpu in cpus if cpu not in allowed]:
            raise UsageError(f"CPU {unknown[0]} is not available to this process; --cpus can name {cpu_list(allowed)}.")
        if len(_by_core(cpus, root)) < len(cpus):
            raise UsageError(f"--cpus {cpu_list(cpus)} names two SMT siblings of one core; name one CPU per core.")
        if len(cpus) < threads:
            raise UsageError(f"--cpus {cpu_list(cpus)} gives {len(cpus)} for {threads} threads; name at least {threads}.")
    budget, reason = cpu_budget(root, cpus)
    if threads > budget:
        raise UsageError(
            f"{threads} threads were asked for, but this process may use {budget} ({reason}); give --threads {budget} or fewer."
            f"{_other_kinds(affinity, threads, root) if cpus is None else ''}"
        )
    return cpus or tuple(sorted(_by_core(_fastest(affinity, root)[1], root)[-threads:]))


def require_pinning(cpus: Iterable[int]) -> None:
    """Raise UsageError where this process may not be pinned to `cpus` and does not run on just these already."""
    wanted, before = set(cpus), os.sched_getaffinity(0)
    if before == wanted:
        return
    try:
        os.sched_setaffinity(0, wanted)
        os.sched_setaffinity(0, before)
    except PermissionError as error:
        names = cpu_list(sorted(wanted))
        raise UsageError(
            f"this system does not let mnbench pin itself to CPU {names} ({error.strerror}), and threads that wander cannot be "
            f"compared. Start it on these CPUs alone, from where that is allowed: taskset -c {names} mnbench …"
        ) from error


def reachable(root: Path = Path("/")) -> tuple[int, ...]:
    """Return the isolated CPUs that this process may still be pinned to: those of its cpuset that are on."""
    within, on = cpuset(root), topology.online(root)
    return tuple(
        cpu for cpu in topology.isolated(root) or () if (within is None or cpu in within) and (on is None or cpu in on)
    )


def cgroup_cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process's cgroup in CPUs: the tightest one up to the root, infinity without one.

    None where it is unknown: the cgroup or its folder is not to be found, or a file of it holds something odd.
    """
    quotas = [_quota_of(folder) for folder in cgroup_folders(root)]
    if any(_is_outside(path) for _, path in cgroups(root) or ()):
        quotas.append(None)
    known = min((quota for quota in quotas if quota is not None), default=None)
    return None if known is None or (math.isinf(known) and None in quotas) else known


def cgroup_folders(root: Path = Path("/"), controller: str = "cpu") -> list[Path]:
    """Return the folders of this process's cgroup of a controller, from its own up to the mount point, for v1 and v2."""
    folders: list[Path] = []
    for controllers, path in cgroups(root) or ():
        if controllers == "":
            bases = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / name for name in dict.fromkeys((controller, controllers))]
        else:
            continue
        below = "" if _is_outside(path) else path.lstrip("/")
        for base in bases:
            folder = base / below
            while folder != base.parent and base in (folder, *folder.parents):
                folders.append(folder)
                folder = folder.parent
    return [folder for folder in folders if folder.is_dir()]


def cpuset(root: Path = Path("/")) -> tuple[int, ...] | None:
    """Return the CPUs this process's cgroup may use, as cgroup v2 or v1 tells them; None without a cpuset."""
    files = (
        folder / name
        for folder in cgroup_folders(root, "cpuset")
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
    )
    return next((cpus for file in files if (cpus := read_cpus(file))), None)


def cgroup_is_known(root: Path = Path("/")) -> bool:
    """Say whether the cgroup of this process and its folder can be found."""
    outside = any(_is_outside(path) for _, path in cgroups(root) or ())
    return not outside and bool(cgroup_folders(root) or cgroup_folders(root, "cpuset"))


def _fastest(cpus: Sequence[int], root: Path) -> tuple[str, tuple[int, ...]]:
    """Return the name of the fastest kind among `cpus` and those of that kind; "" and all of them where a host has one kind."""
    kinds = topology.kinds(root)
    of_kinds = [(kind.name, tuple(cpu for cpu in cpus if cpu in kind.cpus)) for kind in kinds]
    name, fastest = next(((name, own) for name, own in of_kinds if own), ("", tuple(cpus)))
    return (name, fastest) if len(kinds) > 1 else ("", tuple(cpus))


def _other_kinds(affinity: Sequence[int], threads: int, root: Path) -> str:
    """Return the hint that cores of several kinds would be enough, if they would."""
    return " Only --cpus mixes kinds of cores." if len(_by_core(affinity, root)) >= threads > _cores_of_fastest(root) else ""


def _cores_of_fastest(root: Path) -> int:
    return len(_by_core(_fastest(sorted(os.sched_getaffinity(0)), root)[1], root))


def _by_core(cpus: Iterable[int], root: Path) -> list[int]:
    """Return the lowest of `cpus` of each core, in order; a CPU whose siblings are unknown counts as a core."""
    siblings = topology.siblings(root)
    return sorted({siblings.get(cpu, (cpu,)): cpu for cpu in sorted(cpus, reverse=True)}.values())


def _is_outside(path: str) -> bool:
    """Say whether a cgroup lies outside of what this namespace shows: its files cannot be found."""
    return ".." in path.split("/")


def _quota_of(folder: Path) -> float | None:
    """Return the quota of one cgroup in CPUs, infinity without one, None where its file holds something odd."""
    v2 = read(folder / "cpu.max")
    if v2 is not None:
        limit, _, period = v2.partition(" ")
        return math.inf if limit == "max" else _share(whole(limit), whole(period or "100000"))
    v1 = read(folder / "cpu.cfs_quota_us")
    if v1 is None or whole(v1) == -1:
        return math.inf  # the kernel or this level of the tree has no such limit
    return _share(whole(v1), whole(read(folder / "cpu.cfs_period_us")))


def _share(limit_us: int | None, period_us: int | None) -> float | None:
    return limit_us / period_us if limit_us is not None and period_us is not None and min(limit_us, period_us) > 0 else None
