"""The record of a host: facts that decide a figure, or explain it later. Every run.json holds one.

Standard library only. Fields with a default were added after the first runs were stored; the default says "not recorded", and
None or an empty tuple also stands where the kernel does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One cache that the first usable CPU sees."""

    level: int
    kind: str
    """`data`, `instruction` or `unified`."""
    size_bytes: int
    shared_cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The host a run was measured on, as it was when the run began."""

    cpu_model: str
    isa: tuple[str, ...]
    logical_cpus: int
    physical_cores: int
    affinity: tuple[int, ...]
    cpu_budget: int
    """Most threads this process may keep busy: min(affinity, cpuset, cgroup quota, physical cores)."""
    cpu_budget_reason: str
    memory_bytes: int
    virtualisation: str | None
    governor: str | None
    """Frequency governors of the usable CPUs, each once."""
    kernel: str
    python: str
    packages: Mapping[str, str]
    variables: Mapping[str, str]
    """Environment variables that steer threads, ISA or precision, as set when the run began."""

    cores: tuple[tuple[int, ...], ...] = ()
    """The CPUs of each physical core: two or more in one core are SMT siblings."""
    numa_nodes: int | None = None
    caches: tuple[Cache, ...] = ()
    cpuset: tuple[int, ...] | None = None
    cgroup_quota_cpus: float | None = None
    """CPU quota of the cgroup, in CPUs; None without one."""
    turbo: bool | None = None
    """Whether the clock may rise above its nominal frequency."""
    clock_source: str | None = None
    transparent_hugepages: str | None = None
    """`always`, `madvise` or `never`."""
    memory_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    swappiness: int | None = None
    load_average_1min: float | None = None
    cpu_pressure_pct: float | None = None
    """Share of the last 10 s in which some task waited for a CPU (proc(5), /proc/pressure/cpu, `some avg10`)."""
    memory_pressure_pct: float | None = None
    steal_since_boot_pct: float | None = None
    """Share of all CPU time since boot that the hypervisor gave to others."""
    steal_now_pct: float | None = None
    """The same over a short window in which this process slept."""
    busy_cpus_now: float | None = None
    """CPUs kept busy by others over that window: CPU time by elapsed time, all CPUs together."""
    randomize_va_space: int | None = None
    """Whether the kernel draws the addresses of a new process: 0 no, 1 all but the heap, 2 the heap too (proc(5))."""
    addresses_fixed: bool | None = None
    """Whether this process, and so its children, has switched that off for itself (`setarch -R`)."""
