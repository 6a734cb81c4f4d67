"""Reading the kernel's text files below a root, which a test may make up.

Every reader returns None for a file that is missing, cannot be read, or holds something else than it should: what is
unknown stays unknown, and no odd file ends a command.
"""

from __future__ import annotations

import re
from pathlib import Path

from mnbench.environment.cpu_lists import parse_cpus
from mnbench.errors import UsageError

WHOLE = re.compile(r"-?[0-9]{1,19}")
TICKS = 8
"""Columns of a CPU's line in /proc/stat up to `steal`, as in proc(5); guest time, which follows, is in user already."""


def read(path: Path) -> str | None:
    """Return the file's text without surrounding space; None when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip(" \t\r\n\0")
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return the file's whole number; None when the file or the number is not there."""
    return whole(read(path))


def whole(text: str | None) -> int | None:
    """Return a whole number; None for text that is none."""
    return int(text) if text is not None and WHOLE.fullmatch(text) else None


def read_cpus(path: Path) -> tuple[int, ...] | None:
    """Return the file's list of CPUs, () for an empty one; None when the file cannot be read or holds no such list."""
    text = read(path)
    try:
        return parse_cpus(text) if text else None if text is None else ()
    except UsageError:
        return None


def read_fields(path: Path) -> dict[str, int]:
    """Return the whole numbers of a file of lines `name number`, such as cpu.stat; what is written otherwise is left out."""
    pairs = (line.split() for line in (read(path) or "").splitlines())
    return {pair[0]: number for pair in pairs if len(pair) == 2 and (number := whole(pair[1])) is not None}


def meminfo_bytes(key: str, root: Path) -> int | None:
    """Return a line of /proc/meminfo in bytes; None when the kernel does not tell it."""
    return kibibytes(root / "proc/meminfo", key)


def kibibytes(path: Path, key: str) -> int | None:
    """Return a line `key: 12 kB` of a file in bytes; None when it is not there."""
    match = re.search(rf"^{key}:\s+([0-9]{{1,16}}) kB", read(path) or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def cpu_ticks(root: Path) -> dict[str, tuple[int, ...]]:
    """Return the ticks of each line of /proc/stat that is a CPU's (`cpu0`) or all CPUs' (`cpu`): TICKS columns.

    A line that lacks columns, and every line of a file that cannot be read, is left out.
    """
    found: dict[str, tuple[int, ...]] = {}
    for line in (read(root / "proc/stat") or "").splitlines():
        name, *counts = line.split() or [""]
        ticks = tuple(number for count in counts[:TICKS] if (number := whole(count)) is not None)
        if re.fullmatch("cpu[0-9]*", name) and len(ticks) == TICKS:
            found[name] = ticks
    return found


def cgroups(root: Path) -> list[tuple[str, str]] | None:
    """Return (controllers, path) of each line of /proc/self/cgroup; v2 has no controllers. None when there is no such line."""
    lines = (line.split(":", 2) for line in (read(root / "proc/self/cgroup") or "").splitlines())
    return [(line[1], line[2]) for line in lines if len(line) == 3 and line[2].startswith("/")] or None


def clock_source(root: Path = Path("/")) -> str | None:
    """Return what the kernel's clocks are read from at the moment, such as `tsc`; None where it does not tell."""
    return read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or None
