"""Fill a Markdown file's tables and plots from the committed reference run: no figure in prose is typed by hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from mnbench import store
from mnbench.errors import MnbenchError, StoreError
from mnbench.report import markdown
from mnbench.report.view import view_of
from mnbench.system.files import write_atomically


def update(file: Path, reference: Path, *, check: bool = False) -> list[str]:
    """Fill the blocks of `file` from the runs below `reference`; return the names of those that were not current.

    With `check` nothing is written. Blocks that name no run show the newest one.
    Raises StoreError when the file or a run cannot be read, MnbenchError for a damaged marker.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}.") from error

    @cache
    def pick(name: str | None) -> markdown.Shown:
        return _shown(_directory(name, reference), file)

    old = markdown.stale(text, pick)
    if old and not check:
        write_atomically(file, markdown.fill(text, pick).encode())
    return old


def _directory(name: str | None, reference: Path) -> Path:
    if name is not None:
        return reference / name
    runs = sorted(path.parent for path in reference.glob(f"*/{store.RUN_FILE}"))
    if not runs:
        raise MnbenchError(f"there is no run below {reference} to fill the tables from.")
    return runs[-1]


def _shown(directory: Path, file: Path) -> markdown.Shown:
    folder = Path(os.path.relpath(directory, file.parent)).as_posix()
    return markdown.Shown(view=view_of(store.load(directory)), folder=folder, directory=directory)
