"""Reading the kernel's text files below a root, which a test may make up."""

from __future__ import annotations

import re
from pathlib import Path


def read(path: Path) -> str | None:
    """Return the file's text without surrounding space; None when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return the file's whole number; None when the file or the number is not there."""
    text = read(path)
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def meminfo_bytes(key: str, root: Path) -> int:
    """Return a line of /proc/meminfo in bytes; 0 when the kernel does not tell it."""
    match = re.search(rf"^{key}:\s+(\d+) kB", read(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
