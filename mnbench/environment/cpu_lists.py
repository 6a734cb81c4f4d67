"""Lists of CPUs as the kernel and `--cpus` write them: `0`, `0,2`, `1-3`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mnbench.errors import UsageError

MOST_CPUS = 8191
"""Linux numbers CPUs up to CONFIG_NR_CPUS, 8192 at most on x86."""

DIGITS = 9
"""Read of a number: more mean a CPU that does not exist, and Python refuses to read thousands of them."""


def parse_cpus(text: str) -> tuple[int, ...]:
    """Parse a kernel-style CPU list: `0`, `0,2`, `1-3`. Raises UsageError."""
    cpus: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if match is None:
            raise UsageError(f"{text!r} is not a list of CPUs; write it as 0, 0,2 or 1-3.")
        first, last = (int(number[:DIGITS]) for number in (match[1], match[2] or match[1]))
        if last < first:
            raise UsageError(f"{part.strip()!r} is not a range of CPUs; write the smaller number first.")
        if last > MOST_CPUS:
            raise UsageError(f"CPU {last} does not exist; the largest number is {MOST_CPUS}.")
        cpus.extend(range(first, last + 1))
    return tuple(cpus)


def cpu_list(cpus: Iterable[int]) -> str:
    """Return CPU numbers as `--cpus` takes them: `0,2,3`."""
    return ",".join(str(cpu) for cpu in cpus)
