"""Draws the panels of a study's plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from mnbench.report import canvas
from mnbench.report.axis import log_ticks
from mnbench.report.panel_labels import annotate
from mnbench.report.panels import Panel, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKER_PT = 5.5
FAINT = 0.3


def draw(
    title: str,
    subtitle: str,
    caption: Sequence[str],
    panels: Sequence[Panel],
    *,
    columns: int,
    panel_height_in: float,
    notes: Mapping[str, str],
) -> Figure:
    """Return the figure; panels without a mark are left out."""
    shown = [panel for panel in panels if any(series.marks for series in panel.series)]
    columns = max(1, min(columns, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    names = list(dict.fromkeys(s.name for panel in shown for s in panel.series if s.marks and not s.reference))
    style = canvas.styles(names)
    page = canvas.Page(
        title=title,
        subtitle=subtitle,
        caption=caption if shown else (*caption, "Nothing to draw: too little was measured."),
        legend=_legend(shown, style, notes),
        width_in=7.5 if columns == 1 else 10.5,
        axes_height_in=panel_height_in * rows + 0.95 * (rows - 1),
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.8, right_in=0.3)
    for place, panel in enumerate(shown):
        axes = layout.axes(place // columns, place % columns, rows, columns, gap_in=0.95)
        _draw_panel(axes, panel, style)
    return layout.figure


def _draw_panel(axes: Axes, panel: Panel, style: Mapping[str, canvas.Style]) -> None:
    canvas.tidy(axes)
    axes.set_title(canvas.literal(panel.title), fontsize=9, loc="left")
    axes.set_xlabel(canvas.literal(panel.x_label), fontsize=9)
    axes.set_ylabel(canvas.literal(panel.y_label), fontsize=9)
    for place, height in enumerate(panel.lines.values()):
        axes.axhline(height, color=canvas.GREY, linewidth=1.0, linestyle=_dashes(place), zorder=1)
    for series in panel.series:
        if series.reference:
            axes.plot([m.x for m in series.marks], [m.y for m in series.marks], color=canvas.GREY, linewidth=1.0, linestyle=":")
        elif series.marks:
            _draw_series(axes, series, style[series.name])
    _scale(axes, panel)
    annotate(axes, panel, style, MARKER_PT)


def _draw_series(axes: Axes, series: Series, look: canvas.Style) -> None:
    if series.joined:
        axes.plot([m.x for m in series.marks], [m.y for m in series.marks], color=look.colour, linewidth=1.1, alpha=0.7)
    for mark in series.marks:
        ink = FAINT if mark.faint else 1.0
        for ends, along_x in ((mark.x_interval, True), (mark.y_interval, False)):
            if ends is not None:
                middle = mark.x if along_x else mark.y
                reach = [[max(0.0, middle - ends[0])], [max(0.0, ends[1] - middle)]]
                axes.errorbar(
                    mark.x, mark.y, xerr=reach if along_x else None, yerr=None if along_x else reach, fmt="none",
                    ecolor=look.colour, elinewidth=1.1, capsize=2, alpha=ink,
                )  # fmt: skip
        face = "white" if mark.hollow else look.colour
        axes.plot(
            mark.x, mark.y, look.marker, markersize=MARKER_PT, markerfacecolor=face, markeredgecolor=look.colour, alpha=ink
        )


def _scale(axes: Axes, panel: Panel) -> None:
    marks = [mark for series in panel.series for mark in series.marks]
    xs = [x for mark in marks for x in (mark.x, *(mark.x_interval or ()))]
    ys = [y for mark in marks for y in (mark.y, *(mark.y_interval or ()))] + [*panel.lines.values(), *panel.y_also]
    _one_scale(axes, "x", xs, logarithmic=panel.x_log, from_zero=False)
    _one_scale(axes, "y", ys, logarithmic=panel.y_log, from_zero=panel.y_from_zero)
    if panel.x_names:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.x_names)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _name_at(value, panel.x_names)))
        axes.xaxis.set_minor_locator(NullLocator())


def _one_scale(axes: Axes, which: str, values: Sequence[float], *, logarithmic: bool, from_zero: bool) -> None:
    axis, set_limits = (axes.xaxis, axes.set_xlim) if which == "x" else (axes.yaxis, axes.set_ylim)
    low, high = min(values), max(values)
    if logarithmic:
        margin = max((high / low) ** 0.09, 1.08)
        low, high = low / margin, high * margin
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        axis.set_major_locator(FixedLocator(log_ticks(low, high)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    else:
        spare = (high - low or 1.0) * 0.1
        low, high = (0.0 if from_zero else low - spare), high + spare
    set_limits(low, high)


def _name_at(value: float, names: Mapping[float, str]) -> str:
    """Return the name of the tick nearest to `value`: a logarithmic axis hands back a rounded place."""
    return names[min(names, key=lambda place: abs(place - value))]


def _dashes(place: int) -> Literal["--", "-.", ":"]:
    kinds: tuple[Literal["--"], Literal["-."], Literal[":"]] = ("--", "-.", ":")
    return kinds[place % 3]


def _legend(panels: Sequence[Panel], style: Mapping[str, canvas.Style], notes: Mapping[str, str]) -> list[Line2D]:
    everything = [series for panel in panels for series in panel.series]
    joined = {series.name for series in everything if series.joined}
    filled = {series.name for series in everything if not all(mark.hollow for mark in series.marks)}
    handles = [
        Line2D(
            [], [], color=look.colour, marker=look.marker, markersize=MARKER_PT, label=canvas.literal(look.name),
            linewidth=1.1 if look.name in joined else 0, markerfacecolor=look.colour if look.name in filled else "white",
        )
        for look in style.values()
    ]  # fmt: skip
    references = dict.fromkeys(s.name for panel in panels for s in panel.series if s.reference and s.marks)
    handles += [Line2D([], [], color=canvas.GREY, linestyle=":", linewidth=1.0, label=name) for name in references]
    lines = {text: place for panel in panels for place, text in enumerate(panel.lines)}
    handles += [
        Line2D([], [], color=canvas.GREY, linestyle=_dashes(place), linewidth=1.0, label=text) for text, place in lines.items()
    ]
    for kind, text in notes.items():
        face, ink = ("white" if kind == "hollow" else canvas.GREY), (FAINT if kind == "faint" else 1.0)
        handles.append(
            Line2D(
                [], [], color=canvas.GREY, marker="o", markerfacecolor=face, markersize=MARKER_PT, alpha=ink, label=text,
                linewidth=0,
            )
        )  # fmt: skip
    return handles
