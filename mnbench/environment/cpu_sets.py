"""Which other CPUs could do what the plan's CPUs do, so that successive waves may run on them in turn.

One core may be a little faster or warmer than its neighbours, and share its cache with other programs. On one and the same core
that is part of every figure; on several in turn it is part of the spread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from mnbench.environment import budget, topology
from mnbench.environment.kernel import cpu_ticks, read

FEWEST_CORES = 4
"""With fewer, the other ones are the one that takes the interrupts and the one on which the parent waits."""
NUMBERS = (4, 2)
"""Of sets, the first that there are enough for. Files go round by threes: with three sets each would always meet one file."""
IDLE_SHARE = 0.1


def cpu_sets(cpus: Sequence[int], pause: Callable[[], None], root: Path = Path("/")) -> tuple[tuple[int, ...], ...]:
    """Return sets of CPUs like the plan's `cpus`, those first, for waves to take in turn; none where only one is to be had.

    One CPU of each core, highest cores first, never the core of CPU 0. A set counts when its cores are of the same kind, share
    as many last-level caches, and were idle while `pause` took its time.
    """
    if budget.cpu_budget(root)[0] < FEWEST_CORES:
        return ()
    siblings = topology.siblings(root)
    allowed = sorted(os.sched_getaffinity(0))
    one_per_core = {siblings.get(cpu, (cpu,)): cpu for cpu in reversed(allowed)}
    taken = {siblings.get(cpu, (cpu,)) for cpu in (0, *cpus)}
    others = sorted((cpu for core, cpu in one_per_core.items() if core not in taken), reverse=True)
    starts = range(0, len(others) + 1, len(cpus))
    candidates = [tuple(sorted(others[first:last])) for first, last in pairwise(starts)]
    before = _ticks(root)
    pause()
    after = _ticks(root)
    busy = {siblings.get(cpu, (cpu,)) for cpu, ticks in after.items() if _is_busy(before.get(cpu), ticks)}
    unknown = set(allowed) - set(after)  # whether these are idle
    kind = _kind(cpus, root)
    alike = [
        found for found in candidates
        if _kind(found, root) == kind and not unknown & set(found) and not busy & {siblings.get(cpu, (cpu,)) for cpu in found}
    ]  # fmt: skip
    sets = (tuple(cpus), *alike)
    number = next((number for number in NUMBERS if len(sets) >= number), 0)
    return sets[:number]


def _kind(cpus: Sequence[int], root: Path) -> tuple[object, ...]:
    """Return what CPUs have to share to be as good as others; a fact that the kernel does not tell is the same for all."""
    folders = [root / f"sys/devices/system/cpu/cpu{cpu}" for cpu in cpus]
    facts = sorted(
        tuple(read(folder / name) or "" for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq", "cpufreq/base_frequency"))
        for folder in folders
    )
    shared, kinds = topology.siblings(root), topology.kinds(root)
    siblings = sorted(len(shared.get(cpu, (cpu,))) for cpu in cpus)
    names = sorted(kind.name for cpu in cpus for kind in kinds if cpu in kind.cpus)
    caches = {read(folder / "cache/index3/shared_cpu_list") for folder in folders}
    packages = {read(folder / "topology/physical_package_id") for folder in folders}
    return facts, names, siblings, len(caches), len(packages)


def _ticks(root: Path) -> dict[int, tuple[int, int]]:
    """Return (all ticks, idle ticks) of each CPU since boot. Columns as in proc(5), guest time left out."""
    return {int(name[3:]): (sum(ticks), ticks[3] + ticks[4]) for name, ticks in cpu_ticks(root).items() if name != "cpu"}


def _is_busy(before: tuple[int, int] | None, after: tuple[int, int]) -> bool:
    """Say whether a CPU did something else; a CPU that was not there before may."""
    if before is None:
        return True
    total, idle = after[0] - before[0], after[1] - before[1]
    return total > 0 and (total - idle) / total > IDLE_SHARE
