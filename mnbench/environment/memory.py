"""The memory that this process may use: its cgroup's limit, what is left below it, and whether the kernel killed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mnbench.environment.budget import cgroup_folders, cgroup_is_known
from mnbench.environment.kernel import meminfo_bytes, read, read_fields, whole

NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes a number of about this size where there is no limit."""
OF_LIMIT = (("memory.max", "memory.current"), ("memory.high", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # fmt: skip
"""Files of a limit and of what is used, of cgroup v2 (`high` throttles, `max` kills) and v1."""
RECLAIMABLE = ("inactive_file", "total_inactive_file")
"""Lines of memory.stat: cached files, which give way before anything is killed; v2 counts the cgroups below, v1 in `total_`."""


def limit_bytes(root: Path = Path("/")) -> int | None:
    """Return the tightest memory limit of this process's cgroups, up to the root; None for none, or where none is known."""
    return min((limit for limit, _, _ in _limits(root)), default=None)


def limit_is_known(root: Path = Path("/")) -> bool:
    """Say whether the cgroups of this process are to be found and none of their limits is written oddly."""
    texts = [read(folder / name) for folder in cgroup_folders(root, "memory") for name, _ in OF_LIMIT]
    odd = [text for text in texts if text not in (None, "max") and whole(text) is None]
    return cgroup_is_known(root) and not odd


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that can be had without swapping and below every limit of the cgroups.

    None where the kernel tells neither. Cached files count as free; where it does not tell what is used, all of a limit does.
    """
    room = [limit - (used or 0) + cached for limit, used, cached in _limits(root)]
    machine = meminfo_bytes("MemAvailable", root)
    return min((max(0, free) for free in (*room, machine) if free is not None), default=None)


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes the kernel has killed for want of memory in this process's cgroup, or else on the machine.

    None where it does not tell.
    """
    for folder in cgroup_folders(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            if (kills := read_fields(folder / name).get("oom_kill")) is not None:
                return kills
    return read_fields(root / "proc/vmstat").get("oom_kill")


def _limits(root: Path) -> Iterator[tuple[int, int | None, int]]:
    """Yield each limit with what is used below it, and how much of that are cached files; in bytes."""
    for folder in cgroup_folders(root, "memory"):
        stat = read_fields(folder / "memory.stat")
        cached = next((stat[name] for name in reversed(RECLAIMABLE) if name in stat), 0)
        for name, used in OF_LIMIT:
            limit = whole(read(folder / name))
            if limit is not None and 0 < limit < NO_LIMIT_BYTES:
                yield limit, whole(read(folder / used)), cached
