"""What plots with a band for each network share: the bands with their names, and a mark with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from mnbench.records import Estimate
from mnbench.report import canvas
from mnbench.report.numbers import Figure, bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_IN = 0.17
"""Height that one mark of a network takes."""
MARKER_PT = 5.5
HOLLOW = "hollow: machine too noisy"


def height_in(marks: int, networks: int) -> float:
    """Return the height of the axes that hold so many marks for each of the networks."""
    return max(0.8, (ROW_IN * marks + 0.1) * networks)


def left_in(names: Sequence[str]) -> float:
    """Return the room that the names of the bands need."""
    return 0.45 + 0.072 * max(map(len, names), default=0)


def frame(axes: Axes, names: Sequence[str]) -> None:
    """Draw a band for each name, from the top."""
    canvas.tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [canvas.literal(name) for name in names])
    axes.tick_params(axis="y", length=0)
    for place in range(1, len(names), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", zorder=0, linewidth=0)


def heights(place: int, marks: int) -> list[float]:
    """Return where in a band each of its marks goes, from the top."""
    return [place + (slot + 0.5) / marks * 0.8 - 0.4 for slot in range(marks)]


def draw_mark(axes: Axes, height: float, figure: Figure, look: canvas.Style, *, noisy: bool) -> None:
    """Draw a figure with its interval; hollow where the machine was too noisy for it."""
    value, low, high = bounds(figure)
    if isinstance(figure, Estimate):
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(value, height, xerr=reach, fmt="none", ecolor=look.colour, elinewidth=1.2, capsize=2.5)
    face = "white" if noisy else look.colour
    axes.plot(value, height, look.marker, markersize=MARKER_PT, markerfacecolor=face, markeredgecolor=look.colour)


def legend(looks: Sequence[canvas.Style], *, noisy: bool) -> list[Line2D]:
    """Return the marks of the series, and what hollow ones mean where there are any."""
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linewidth=0, markersize=MARKER_PT, label=look.name)
        for look in looks
    ]
    return [*handles, *([hollow()] if noisy else [])]


def hollow() -> Line2D:
    """Return what says in a legend that hollow marks are of a machine that was too noisy."""
    return Line2D(
        [], [], color=canvas.GREY, marker="o", markerfacecolor="white", linewidth=0, markersize=MARKER_PT, label=HOLLOW
    )
