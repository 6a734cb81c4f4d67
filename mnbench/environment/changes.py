"""What differs between two records of a host: one list for every command that asks whether figures may stand side by side.

`mnbench diff` refuses runs of two hosts and tells the rest; `--resume` mixes figures in one run, and refuses both.
"""

from __future__ import annotations

from collections.abc import Iterator

from mnbench.records import Environment

HOST_FACTS = ("cpu_model", "isa", "logical_cpus", "physical_cores", "virtualisation")
"""Hardware, as the system sees it."""
SETTINGS = (
    "kernel", "python", "governor", "turbo", "affinity", "cpu_budget", "cgroup_quota_cpus", "transparent_hugepages",
)  # fmt: skip
"""Software and settings, which one may want to compare; `packages` and `variables` belong to them, name by name."""

SINCE_LATER = ("randomize_va_space", "addresses_fixed")
"""Settings that count only when both records have them: not every stored record does, and not every kernel tells them."""

Difference = tuple[str, object, object]
"""(what, as it was, as it is)"""


def host_differences(old: Environment, new: Environment) -> Iterator[Difference]:
    """Yield the hardware facts in which two hosts differ. Caches count only when both records have them."""
    for name in HOST_FACTS:
        yield from different(name, getattr(old, name), getattr(new, name))
    if old.caches and new.caches:
        caches = ([f"L{cache.level} {cache.kind} {cache.size_bytes >> 10} KiB" for cache in host.caches] for host in (old, new))
        yield from different("caches", *caches)


def setting_differences(old: Environment, new: Environment) -> Iterator[Difference]:
    """Yield the software and the settings in which two hosts differ; None stands for what one of them lacks."""
    for name in SETTINGS:
        yield from different(name, getattr(old, name), getattr(new, name))
    for name in SINCE_LATER:
        if getattr(old, name) is not None and getattr(new, name) is not None:
            yield from different(name, getattr(old, name), getattr(new, name))
    for kind in ("packages", "variables"):
        was, now = getattr(old, kind), getattr(new, kind)
        for name in sorted({*was, *now}):
            yield from different(name, was.get(name), now.get(name))


def different(what: str, old: object, new: object) -> Iterator[Difference]:
    """Yield the difference, if there is one."""
    if old != new:
        yield what, old, new
