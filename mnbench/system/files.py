"""Replacing a file so that a reader sees the old one or the new one, never half of one; and names that are no text."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from pathlib import Path

from mnbench.errors import UsageError


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


def require_text(path: Path | str, what: str) -> None:
    """Raise UsageError for a path that records and messages, which are JSON in UTF-8, cannot hold. `what` names its option."""
    if text_of(str(path)) == str(path):
        return
    raise UsageError(
        f"{what} {text_of(str(path))!r} is not text in {sys.getfilesystemencoding().upper()}, as this process reads names: "
        "name a folder whose whole path is, or set LC_ALL=C.UTF-8. Nothing was measured."
    )


def text_of(name: str) -> str:
    """Return what the system gave as text that UTF-8 can hold: bytes that are none are written as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def as_given(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a byte that the system gave and that is no text as this byte, and other characters that do not fit as numbers.

    A handler for `codecs.register_error`: so a path is printed as it is, and can be copied.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = ord(error.object[error.start])
    if 0xDC80 <= first <= 0xDCFF:  # PEP 383: 0xDC00 and the byte
        return bytes([first - 0xDC00]), error.start + 1
    error.end = error.start + 1
    return codecs.backslashreplace_errors(error)
