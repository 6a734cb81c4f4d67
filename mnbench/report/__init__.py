"""Views of a run: CSV files, plots, a page, a terminal table, JSON and Markdown.

A view takes `(run, analysis)` and gives a file or text; it measures nothing and computes no statistics. To add a report
format, write `report/x.py` with a function `write(run, analysis, directory) -> list[Path]` and one line in `FORMATS`.
The modules are loaded when they are used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mnbench.errors import UnknownNameError
from mnbench.records import Analysis, Run

logging.getLogger("matplotlib").setLevel(logging.ERROR)
"""It warns on standard error where it cannot write its cache to the user's home; the plots are the same."""

FORMATS = {
    "summary": "mnbench.report.summary_csv:write",
    "comparison": "mnbench.report.comparison_csv:write",
    "accuracy-plot": "mnbench.report.accuracy_plot:write",
    "paper-plot": "mnbench.report.paper_plot:write",
    "html": "mnbench.report.html:write",
    "study": "mnbench.report.study:write",
}
STUDY_ONLY = ("study",)
"""Formats that need findings.json: written for a study, not for a comparison."""


class Write(Protocol):
    """What a report format is."""

    def __call__(self, run: Run, analysis: Analysis, directory: Path) -> list[Path]:
        """Write the format's files into `directory`, each atomically, and return their paths."""


def load(name: str) -> Write:
    """Return the function that writes the format `name`. Raises UnknownNameError for a name not in `FORMATS`."""
    if name not in FORMATS:
        raise UnknownNameError("report format", name, FORMATS)
    module, _, function = FORMATS[name].partition(":")
    return cast(Write, getattr(import_module(module), function))


def write_all(run: Run, analysis: Analysis, directory: Path, formats: Iterable[str] | None = None) -> list[Path]:
    """Write every format of a comparison (or those named) into `directory`, and return the paths written.

    Raises UnknownNameError for an unknown format, StoreError when a file cannot be written.
    """
    wanted = [name for name in FORMATS if name not in STUDY_ONLY] if formats is None else formats
    return [path for name in wanted for path in load(name)(run, analysis, directory)]
