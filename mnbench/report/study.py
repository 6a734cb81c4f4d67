"""study.html: a study's findings, plots and tables on one page that loads nothing."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from mnbench.errors import StoreError
from mnbench.report.files import write_atomically
from mnbench.report.findings import figure_text, intervals_text, read_findings
from mnbench.report.html import inline_svg
from mnbench.report.view import View

TEMPLATE = "study.html.jinja"
MOST_ROWS = 120
"""Of a table on the page; the CSV file beside it has them all."""


def write(view: View, directory: Path) -> list[Path]:
    """Write study.html into `directory`, from the findings, plots and tables in it. Raises StoreError."""
    return [write_atomically(directory / "study.html", page(view, directory))]


def page(view: View, directory: Path) -> str:
    """Return the page as text. Every name and message is escaped."""
    stored = read_findings(directory)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(figure=figure_text)
    template = environment.from_string(files("mnbench.report").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    try:
        plots = [
            (inline_svg((directory / f"{name}.svg").read_text(encoding="utf-8"), f"plot{place}-"), caption)
            for place, (name, caption) in enumerate(stored.plots)
        ]
        tables = [(name, caption, *_table(directory / f"{name}.csv")) for name, caption in stored.tables]
    except OSError as error:
        raise StoreError(f"{error.filename} cannot be read: {error.strerror}.") from error
    return template.render(
        run=view.run, stored=stored, plots=plots, tables=tables, caveats=view.analysis.caveats, most_rows=MOST_ROWS,
        intervals=intervals_text(stored),
    )  # fmt: skip


def _table(path: Path) -> tuple[list[str], list[list[str]], int]:
    """Return header, the first rows, and how many there are."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    return header, [[_short(cell) for cell in row] for row in rows[:MOST_ROWS]], len(rows)


def _short(cell: str) -> str:
    """Return a number to four digits, for reading; anything else as it is."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return cell if value == int(value) and "." not in cell and "e" not in cell else f"{value:.4g}"
