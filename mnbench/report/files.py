"""Writing a report's file so that a reader never sees half of it."""

from __future__ import annotations

import os
from pathlib import Path

from mnbench.errors import StoreError


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write `content` to a temporary name in the same folder, then rename it to `path`; return `path`.

    Raises StoreError when the folder or the file cannot be written; what stood at `path` before is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write {path}: {reason}. Make room, or choose another folder with --out.") from error
    finally:
        _remove_quietly(temporary)
    return path


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder is not writable: nothing was left behind, and the first error is the one to show
        return
