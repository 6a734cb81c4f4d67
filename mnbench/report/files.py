"""Writing a report's file, with a sentence for when it cannot be written."""

from __future__ import annotations

from pathlib import Path

from mnbench.errors import StoreError
from mnbench.system import files


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Replace `path` by `content` in one step, and return it.

    Raises StoreError when the folder or the file cannot be written; what stood at `path` before is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write {path}: {reason}. Make room, or choose another folder with --out.") from error
    return path
