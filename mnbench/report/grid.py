"""A table for people that fits the width there is: side by side, else names above their figures, else one fact per line.

Names and figures are never cut. Lines of a pipe or a file have no width, so that each row stays one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

GAP = 2
INDENT = 2
WIDE = 10_000
"""Columns of what is no terminal: more than any line has."""
NARROWEST = 20
RULE = "─"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Heading and rows. A row may have several lines in a cell."""

    head: Sequence[str]
    align: str
    """For each column `l` or `r`."""
    rows: Sequence[Sequence[Text]]
    names: int = 1
    """How many columns, from the left, say what a row is about. Of two or more, the first is shown where it changes."""


Layout = Callable[[Grid], list[Text]]


def standard_console(output: TextIO | None = None) -> Console:
    """Return a console on `output` (default: standard output).

    It is as wide as COLUMNS says, else as the terminal; else, in a pipe or a file, so wide that no line is broken.
    """
    output = output or sys.stdout
    return Console(file=output, width=_width_of(output))


def _width_of(output: TextIO | None) -> int:
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return max(NARROWEST, int(asked))
    try:
        columns = os.get_terminal_size(output.fileno()).columns if output is not None else WIDE
    except (OSError, ValueError):  # not a terminal, or no file at all
        return WIDE
    return max(NARROWEST, columns or 80)


def draw(console: Console, *forms: Sequence[Grid], stacked: Sequence[Grid] | None = None) -> None:
    """Print the first of `forms`, each some grids with the same content, that fits; else `stacked` (default: the first).

    A form fits with its grids side by side, or, where none does so, with the names of those that are too wide on lines of
    their own.
    """
    for layouts in ((_beside,), (_beside, _below)):
        for form in forms:
            tables = [_fitting(grid, layouts, console.width) for grid in form]
            if all(tables):
                for table in tables:
                    _print(console, table)
                console.print()
                return
    for grid in forms[0] if stacked is None else stacked:
        console.print()
        _stack(console, grid)
    console.print()


def _fitting(grid: Grid, layouts: Sequence[Layout], width: int) -> list[Text]:
    """Return the lines of the first layout that is no wider; none if there is no such layout."""
    drawn = (layout(grid) for layout in layouts)
    return next((lines for lines in drawn if all(line.cell_len <= width for line in lines)), [])


def _print(console: Console, lines: Sequence[Text]) -> None:
    console.print()
    for line in lines:
        plain = console.options.ascii_only and set(line.plain) == {RULE}
        console.print(Text("-" * len(line)) if plain else line, overflow="ignore", no_wrap=True)


def _beside(grid: Grid) -> list[Text]:
    """Return the lines of a table in which each row is beside its names."""
    widths = _widths(grid, 0)
    lines = _heading(grid, widths, 0)
    for row, is_new in _grouped(grid):
        first = row[0] if is_new or grid.names < 2 else Text("")
        lines += _row([first, *row[1:]], widths, grid.align)
    return lines


def _below(grid: Grid) -> list[Text]:
    """Return the lines of a table in which each row is below its first name."""
    if len(grid.head) < 3:
        return _beside(grid)
    widths = _widths(grid, 1)
    margin = Text(" " * INDENT)
    lines = [_bold(grid.head[0]), *(margin + line for line in _heading(grid, widths, 1))]
    for row, is_new in _grouped(grid):
        if is_new or grid.names < 2:
            lines.append(row[0])
        lines += [margin + line for line in _row(row[1:], widths, grid.align[1:])]
    return lines


def _stack(console: Console, grid: Grid) -> None:
    """Print one fact per line below the names of its row; a fact that is empty is left out."""
    label_width = max(map(len, grid.head[grid.names :]), default=0) + GAP
    for row, is_new in _grouped(grid):
        for level, name in enumerate(row[: grid.names]):
            if level or is_new or grid.names < 2:
                console.print(Padding(name, (0, 0, 0, level * INDENT), expand=False), overflow="fold")
        indent = grid.names * INDENT
        for label, value in zip(grid.head[grid.names :], row[grid.names :], strict=True):
            label, value = label.replace("\n", " / "), Text(" ").join(value.split("\n"))
            if not value.plain:
                continue
            if indent + label_width + value.cell_len <= console.width:
                console.print(Text.assemble(" " * indent, f"{label:<{label_width}}", value))
            else:
                console.print(Text(" " * indent + label))
                console.print(Padding(value, (0, 0, 0, indent + INDENT), expand=False), overflow="fold")


def _grouped(grid: Grid) -> Iterator[tuple[Sequence[Text], bool]]:
    """Yield each row, and whether its first name differs from that of the row before."""
    last = None
    for row in grid.rows:
        yield row, row[0].plain != last
        last = row[0].plain


def _heading(grid: Grid, widths: Sequence[int], skipped: int) -> list[Text]:
    head = _row([_bold(name) for name in grid.head[skipped:]], widths, grid.align[skipped:])
    return [*head, Text(RULE * (sum(widths) + GAP * (len(widths) - 1)))]


def _row(cells: Sequence[Text], widths: Sequence[int], align: str) -> list[Text]:
    """Return the lines of one row: one, unless a cell has several."""
    split = [cell.split("\n", allow_blank=True) for cell in cells]
    lines = []
    for number in range(max(len(parts) for parts in split)):
        parts = [parts[number] if number < len(parts) else Text("") for parts in split]
        line = Text(" " * GAP).join(_padded(part, width, side) for part, width, side in zip(parts, widths, align, strict=True))
        line.rstrip()
        lines.append(line)
    return lines


def _padded(cell: Text, width: int, side: str) -> Text:
    room = Text(" " * (width - cell.cell_len))
    return room + cell if side == "r" else cell + room


def _widths(grid: Grid, skipped: int) -> list[int]:
    columns = zip(*([Text(name) for name in grid.head], *grid.rows), strict=True)
    return [max(line.cell_len for cell in cells for line in cell.split("\n", allow_blank=True)) for cells in columns][skipped:]


def _bold(text: str) -> Text:
    return Text(text, style="bold")


def texts(rows: Sequence[Sequence[str]], style: Callable[[str], str] = lambda _: "") -> list[list[Text]]:
    """Return cells of plain text, each in the style that `style` gives for it (empty: none)."""
    return [[Text(cell, style=style(cell)) for cell in row] for row in rows]
