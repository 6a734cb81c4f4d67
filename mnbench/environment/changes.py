"""What differs between two records of a host: one list for every command that asks whether figures may stand side by side.

`mnbench diff` refuses runs of two hosts and tells the rest; `--resume` mixes figures in one run, and refuses both.
"""

from __future__ import annotations

from collections.abc import Iterator

from mnbench.records import CpuKind, Environment

HOST_FACTS = ("cpu_model", "isa", "logical_cpus", "physical_cores", "virtualisation")
"""Hardware, as the system sees it."""
SETTINGS = (
    "kernel", "python", "governor", "turbo", "affinity", "cpu_budget", "cgroup_quota_cpus", "transparent_hugepages",
)  # fmt: skip
"""Software and settings, which one may want to compare; `packages` and `variables` belong to them, name by name."""

SINCE_LATER = ("randomize_va_space", "addresses_fixed", "clock_source", "numa_nodes")
"""Settings that count only when both records have them: not every stored record does, and not every kernel tells them."""

SIZES = ("memory_bytes", "memory_limit_bytes", "swap_total_bytes")
"""Told in MiB, and only from `SIZE_SHARE` of the larger one on: a kernel keeps a little more or less for itself."""
SIZE_SHARE = 0.05

Difference = tuple[str, object, object]
"""(what, as it was, as it is)"""


def host_differences(old: Environment, new: Environment) -> Iterator[Difference]:
    """Yield the hardware facts in which two hosts differ. Caches and kinds of cores count only when both records have them."""
    for name in HOST_FACTS:
        yield from _facts(name, old, new)
    if old.cpu_kinds and new.cpu_kinds:
        yield from different("kinds of cores", *([_kind(kind) for kind in host.cpu_kinds] for host in (old, new)))
    if old.caches and new.caches:
        caches = ([f"L{cache.level} {cache.kind} {cache.size_bytes >> 10} KiB" for cache in host.caches] for host in (old, new))
        yield from different("caches", *caches)


def setting_differences(old: Environment, new: Environment) -> Iterator[Difference]:
    """Yield the software and the settings in which two hosts differ; None stands for what one of them lacks."""
    for name in SETTINGS:
        yield from _facts(name, old, new)
    for name in SINCE_LATER:
        if getattr(old, name) is not None and getattr(new, name) is not None:
            yield from _facts(name, old, new)
    for name in SIZES:
        was_bytes, now_bytes = getattr(old, name), getattr(new, name)
        if None not in (was_bytes, now_bytes) and abs(was_bytes - now_bytes) > SIZE_SHARE * max(was_bytes, now_bytes):
            yield name.removesuffix("_bytes"), f"{was_bytes >> 20} MiB", f"{now_bytes >> 20} MiB"
    for kind in ("packages", "variables"):
        was, now = getattr(old, kind), getattr(new, kind)
        for name in sorted({*was, *now}):
            yield from different(name, was.get(name), now.get(name))


def different(what: str, old: object, new: object) -> Iterator[Difference]:
    """Yield the difference, if there is one."""
    if old != new:
        yield what, old, new


def _facts(name: str, old: Environment, new: Environment) -> Iterator[Difference]:
    """Yield a fact in which two records differ; one that a host does not tell is unknown, not absent."""
    if getattr(old, name) != getattr(new, name):
        was, now = ("unknown" if name in host.unknown else getattr(host, name) for host in (old, new))
        yield name, was, now


def _kind(kind: CpuKind) -> str:
    return f"{len(kind.cpus)} × {kind.name or 'core'}"
