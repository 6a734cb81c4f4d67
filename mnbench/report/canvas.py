"""What the plots share: colours, a page with title, legend and caption around the axes, and saving as PNG and SVG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnbench.report.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PNG_DPI = 160
# Okabe and Ito's palette stays apart for the common kinds of colour blindness; the markers do so in grey, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#595959"
TITLE_PT, NOTE_PT, LABEL_PT = 12.0, 8.0, 7.5
LINE_HEIGHT = 1.35
CHARACTERS_PER_INCH = 16.0
"""How many characters of a note fit in an inch, on the safe side: DejaVu Sans at 8 points is 14.5 to 18 wide."""
SVG_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How one series is drawn."""

    name: str
    colour: str
    marker: str

    @property
    def ink(self) -> str:
        """The colour, darker, for letters: light colours are hard to read as text."""
        return "#" + "".join(f"{int(self.colour[place : place + 2], 16) * 7 // 10:02x}" for place in (1, 3, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The words around a plot."""

    title: str
    subtitle: str
    caption: Sequence[str]
    legend: Sequence[Artist]
    width_in: float
    axes_height_in: float
    head_in: float = 0.0
    """Room above the axes, for titles of panels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A figure with room kept for its words, and where the axes may stand."""

    figure: Figure
    left_in: float
    right_in: float
    bottom_in: float
    top_in: float

    def axes(self, row: int = 0, column: int = 0, rows: int = 1, columns: int = 1, gap_in: float = 0.75) -> Axes:
        """Add the axes of one panel of a grid that fills the room."""
        width_in, height_in = self.figure.get_size_inches()
        panel_width = (width_in - self.left_in - self.right_in - gap_in * (columns - 1)) / columns
        panel_height = (height_in - self.bottom_in - self.top_in - gap_in * (rows - 1)) / rows
        left = self.left_in + column * (panel_width + gap_in)
        bottom = self.bottom_in + (rows - 1 - row) * (panel_height + gap_in)
        box = (left / width_in, bottom / height_in, panel_width / width_in, panel_height / height_in)
        return self.figure.add_axes(box)


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Return a colour and a marker for each distinct name, in order."""
    distinct = list(dict.fromkeys(names))
    return {
        name: Style(name=name, colour=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)])
        for place, name in enumerate(distinct)
    }


def literal(text: str) -> str:
    """Return `text` so that a dollar sign in it is drawn, and starts no formula."""
    return text.replace("$", r"\$")


def lay_out(page: Page, *, left_in: float, right_in: float, axis_in: float = 0.55) -> Layout:
    """Return a figure that is as high as its words and its axes need, with the words on it."""
    columns = int(page.width_in * CHARACTERS_PER_INCH)
    subtitle = textwrap.wrap(page.subtitle, columns)
    caption = [line for note in page.caption for line in textwrap.wrap(note, columns)]
    line_in, title_in, legend_in = NOTE_PT * LINE_HEIGHT / 72, TITLE_PT * 1.5 / 72, 0.3
    per_row = max(1, int(page.width_in / 1.75))
    legend_rows = -(-len(page.legend) // per_row)
    top_in = 0.12 + title_in + line_in * len(subtitle) + legend_in * 0.75 * legend_rows + 0.12 + page.head_in
    bottom_in = 0.12 + line_in * len(caption) + axis_in
    height_in = top_in + page.axes_height_in + bottom_in
    figure = Figure(figsize=(page.width_in, height_in), dpi=PNG_DPI, facecolor="white")
    FigureCanvasAgg(figure)  # gives the figure a renderer, which measuring text needs
    edge = 0.15 / page.width_in
    cursor_in = height_in - 0.12
    figure.text(edge, cursor_in / height_in, literal(page.title), fontsize=TITLE_PT, fontweight="bold", va="top")
    cursor_in -= title_in
    _notes(figure, subtitle, cursor_in, colour="black")
    cursor_in -= line_in * len(subtitle)
    if page.legend:
        figure.legend(
            handles=list(page.legend),
            loc="upper left",
            bbox_to_anchor=(edge - 0.004, cursor_in / height_in),
            ncols=per_row,
            frameon=False,
            fontsize=NOTE_PT,
            borderpad=0.3,
            columnspacing=1.4,
            handletextpad=0.5,
        )
    _notes(figure, caption, 0.1 + line_in * len(caption), colour=GREY)
    return Layout(figure=figure, left_in=left_in, right_in=right_in, bottom_in=bottom_in, top_in=top_in)


def tidy(axes: Axes) -> None:
    """Give the axes a light grid and no more frame than they need."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=NOTE_PT)


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def svg_text(figure: Figure) -> str:
    """Return the figure as SVG with its letters as outlines: the same text for the same figure, on every machine."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mnbench", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=SVG_METADATA)
    return buffer.getvalue().decode("utf-8")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure under the name of its files. Its SVG is made once, for the file and for the page."""

    name: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as SVG."""
        return svg_text(self.figure)

    def save(self, directory: Path) -> list[Path]:
        """Write the figure as `name`.png and `name`.svg. Raises StoreError when a file cannot be written."""
        return [
            write_atomically(directory / f"{self.name}.png", png_bytes(self.figure)),
            write_atomically(directory / f"{self.name}.svg", self.svg),
        ]


def _notes(figure: Figure, lines: Sequence[str], top_in: float, *, colour: str) -> None:
    width_in, height_in = figure.get_size_inches()
    text = literal("\n".join(lines))
    place = (0.15 / width_in, top_in / height_in)
    figure.text(*place, text, fontsize=NOTE_PT, color=colour, va="top", linespacing=LINE_HEIGHT)
