"""Views of a run: CSV files, plots, a page, a terminal table, JSON and Markdown.

A format takes a `View`, which is computed once for all of them (`view.view_of`), and gives a file or text; it measures nothing
and computes no statistics. What is in a table is in `columns`. To add a report format, write `report/x.py` with a function
`write(view, directory) -> list[Path]` and one line in `FORMATS`.
The modules are loaded when they are used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mnbench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from mnbench.report.view import View

logging.getLogger("matplotlib").setLevel(logging.ERROR)
"""It warns on standard error where it cannot write its cache to the user's home; the plots are the same."""

ENTRY_POINT_GROUP = "mnbench.reports"

FORMATS = {
    "summary": "mnbench.report.csv_files:write_summary",
    "comparison": "mnbench.report.csv_files:write_comparison",
    "accuracy-plot": "mnbench.report.accuracy_plot:write",
    "latency-plot": "mnbench.report.latency_plot:write",
    "paper-plot": "mnbench.report.paper_plot:write",
    "html": "mnbench.report.html:write",
    "study": "mnbench.report.study:write",
}
STUDY_ONLY = ("study",)
"""Formats that need findings.json: written for a study, not for a comparison."""


class Write(Protocol):
    """What a report format is."""

    def __call__(self, view: View, directory: Path) -> list[Path]:
        """Write the format's files into `directory`, each atomically, and return their paths."""


def names() -> tuple[str, ...]:
    """Names of all formats: the built-in ones, then those other packages add."""
    return tuple(dict.fromkeys([*FORMATS, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))]))


def load(name: str) -> Write:
    """Return the function that writes the format `name`. Raises UnknownNameError; UsageError where it cannot be loaded."""
    if name in FORMATS:
        module, _, function = FORMATS[name].partition(":")
        return cast(Write, getattr(import_module(module), function))
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            try:
                return cast(Write, entry.load())
            except Exception as error:  # another package's code; whatever it raises, the user gets a sentence
                raise UsageError(f"report format {name!r} ({entry.value}) cannot be loaded: {error!r}.") from error
    raise UnknownNameError("report format", name, names())


def write_all(view: View, directory: Path, formats: Iterable[str] | None = None) -> list[Path]:
    """Write every format of a comparison (or those named) into `directory`, and return the paths written.

    Raises UnknownNameError for an unknown format, StoreError when a file cannot be written.
    """
    wanted = [name for name in names() if name not in STUDY_ONLY] if formats is None else formats
    return [path for name in wanted for path in load(name)(view, directory)]
