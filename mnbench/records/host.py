"""The record of a host: facts that decide a figure, or explain it later. Every run.json holds one.

Standard library only. Fields with a default were added after the first runs were stored; the default says "not recorded", and
None or an empty tuple also stands where the kernel does not tell: `Environment.unknown` names those fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One cache that the first usable CPU of the fastest kind sees."""

    level: int
    kind: str
    """`data`, `instruction` or `unified`."""
    size_bytes: int
    shared_cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuKind:
    """Cores of one kind: those of one name and about one speed."""

    name: str
    """`Cortex-A76`, `performance cores`, …; unique in a host, empty where there is one kind without a name."""
    cpus: tuple[int, ...]
    capacity: int | None = None
    """What the kernel's scheduler takes their speed for; the fastest CPU of a host has 1024."""
    max_mhz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The host a run was measured on, as it was when the run began."""

    cpu_model: str
    isa: tuple[str, ...]
    logical_cpus: int
    physical_cores: int | None
    affinity: tuple[int, ...]
    cpu_budget: int
    """Most threads this process may keep busy: min(affinity, cpuset, cgroup quota, physical cores of the fastest kind)."""
    cpu_budget_reason: str
    memory_bytes: int | None
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
    """CPU quota of the cgroup, in CPUs; None without one, and where it is unknown."""
    turbo: bool | None = None
    """Whether the clock may rise above its nominal frequency."""
    clock_source: str | None = None
    transparent_hugepages: str | None = None
    """`always`, `madvise` or `never`."""
    memory_available_bytes: int | None = None
    """Without swapping, and below the cgroups' limits."""
    memory_limit_bytes: int | None = None
    """The tightest limit of the process's cgroups; None where there is none, or none is known."""
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
    cpu_kinds: tuple[CpuKind, ...] = ()
    """Fastest first; one on most hosts, none where nothing tells whether the CPUs are alike."""
    isolated: tuple[int, ...] = ()
    """CPUs on which the scheduler puts nothing by itself (isolcpus)."""
    unknown: tuple[str, ...] = ()
    """Names of the fields above that this host does not tell, in their order. A field that is None or empty and not named here
    says that there is no such thing: no quota, no hypervisor. Empty in runs stored before this was recorded."""

    def kinds_of(self, cpus: Iterable[int]) -> tuple[CpuKind, ...]:
        """Return the kinds of cores that some CPUs are of, fastest first; none on a host of one kind."""
        named = set(cpus)
        return tuple(kind for kind in self.cpu_kinds if named & set(kind.cpus)) if len(self.cpu_kinds) > 1 else ()
