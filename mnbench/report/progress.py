"""How far the work is, on standard error. Drawn only between rounds, never while something is timed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

NOTEBOOK_CELLS = 24
"""Of the bar in a notebook."""


class ProgressView(Protocol):
    """The listener of `mnbench.commands.compare`, with an end."""

    def exporting(self, models: Sequence[str]) -> None: ...

    def exported(self, model: str) -> None: ...

    def waiting(self, model: str) -> None: ...

    def measuring(self, progress: Standing) -> None: ...

    def close(self) -> None: ...


class Standing(Protocol):
    """Where a run stands: `mnbench.measure.Progress`, as far as it is drawn."""

    @property
    def elapsed_s(self) -> float: ...

    @property
    def left_s(self) -> float: ...

    @property
    def wave(self) -> int: ...

    @property
    def waves(self) -> int: ...

    @property
    def what(self) -> str: ...


@contextmanager
def listener(*, quiet: bool) -> Iterator[ProgressView]:
    """Yield a bar when standard error is a terminal or this is a notebook, else a view that says only for what it waits.

    With `quiet`, nothing.
    """
    if quiet or sys.stderr is None:
        view: ProgressView = Silent()
    elif "ipykernel" in sys.modules:
        view = Notebook()
    else:
        view = Bar() if sys.stderr.isatty() else Log()
    try:
        yield view
    finally:
        view.close()


class Silent:
    """Says nothing: for --quiet."""

    def exporting(self, models: Sequence[str]) -> None:
        pass

    def exported(self, model: str) -> None:
        pass

    def waiting(self, model: str) -> None:
        pass

    def measuring(self, progress: Standing) -> None:
        pass

    def close(self) -> None:
        pass


class Log(Silent):
    """For standard error that is no terminal, where a bar is noise: says for what it waits, so that it seems not to hang."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def waiting(self, model: str) -> None:
        if model not in self._told:
            self._told.add(model)
            sys.stderr.write(f"mnbench: {_wait(model)}\n")
            sys.stderr.flush()


class Bar:
    """A rich progress bar without a refresh thread: such a thread would run while rounds are timed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="")
        self._progress.start()

    def exporting(self, models: Sequence[str]) -> None:
        self._draw(f"checking and exporting {len(models)} networks", 0, len(models), "")

    def exported(self, model: str) -> None:
        task = self._progress.tasks[0]
        self._draw(f"exported {model}", task.completed + 1, task.total or 1, "")

    def waiting(self, model: str) -> None:
        task = self._progress.tasks[0]
        self._draw(_wait(model), task.completed, task.total or 1, "")

    def measuring(self, progress: Standing) -> None:
        description = f"wave {progress.wave}/{progress.waves}: {progress.what}"
        total = progress.elapsed_s + progress.left_s
        self._draw(description, progress.elapsed_s, total, f"{progress.left_s:3.0f} s left")

    def close(self) -> None:
        self._progress.stop()

    def _draw(self, description: str, completed: float, total: float, left: str) -> None:
        self._progress.update(self._task, description=description[:44], completed=completed, total=total, left=left)
        self._progress.refresh()


class Notebook(Silent):
    """One line under the cell of a notebook, drawn anew; taken away at the end."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": "mnbench"}, raw=True, display_id=True)

    def exporting(self, models: Sequence[str]) -> None:
        self._draw(f"checking and exporting {len(models)} models", 0.0)

    def exported(self, model: str) -> None:
        self._draw(f"exported {model}", 0.0)

    def waiting(self, model: str) -> None:
        self._draw(_wait(model), 0.0)

    def measuring(self, progress: Standing) -> None:
        done = progress.elapsed_s / max(1e-9, progress.elapsed_s + progress.left_s)
        self._draw(f"wave {progress.wave}/{progress.waves}: {progress.what}, {progress.left_s:.0f} s left", done)

    def close(self) -> None:
        self._handle.update({"text/plain": ""}, raw=True)

    def _draw(self, text: str, done: float) -> None:
        filled = round(done * NOTEBOOK_CELLS)
        self._handle.update({"text/plain": f"{'█' * filled}{'░' * (NOTEBOOK_CELLS - filled)} {text}"}, raw=True)


def _wait(model: str) -> str:
    return f"waiting for another mnbench that exports {model}"
