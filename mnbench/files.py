"""Replacing a file so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary name in the same folder, then rename it to `path`.

    Raises OSError when that cannot be done; what stood at `path` before is then untouched, and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to show
            temporary.unlink(missing_ok=True)
