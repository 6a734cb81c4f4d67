"""Latency alone, with its interval: the plot of a run in which no network has a published accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnbench.report import bands, canvas
from mnbench.report.axis import set_positive_scale
from mnbench.report.naming import ShortNames, conditions, is_null, networks, short_names
from mnbench.report.numbers import bounds
from mnbench.report.rows import CaseRow
from mnbench.report.view import View
from mnbench.stats.intervals import FEWEST_LAUNCHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "latency"


def write(view: View, directory: Path) -> list[Path]:
    """Write the plot as PNG and SVG; nothing for a run with accuracies, whose plot has these latencies too.

    Raises StoreError when a file cannot be written.
    """
    return view.plots[NAME].save(directory) if NAME in view.plots else []


def figure(view: View) -> Figure:
    """Draw the plot: a band for each network, in it a mark with its interval for each series."""
    rows = [row for row in view.networks if row.latency_ms is not None]
    models = list(dict.fromkeys(row.case.model for row in view.networks))
    names = short_names(models, own=[row.model for row in view.models])
    style = canvas.styles([row.series for row in view.rows if not is_null(row.case)])
    drawn = {row.series for row in rows}
    page = canvas.Page(
        title="Measured latency",
        subtitle=conditions(view.run),
        caption=_caption(view, rows, names),
        legend=bands.legend([look for look in style.values() if look.name in drawn], noisy=any(row.too_noisy for row in rows)),
        width_in=9.0,
        axes_height_in=bands.height_in(len(style), len(models)),
    )
    layout = canvas.lay_out(page, left_in=bands.left_in([names[model] for model in models]), right_in=0.3)
    axes = layout.axes()
    bands.frame(axes, [names[model] for model in models])
    set_positive_scale(axes, [bound for row in rows if row.latency_ms for bound in bounds(row.latency_ms)])
    batched = any(case.batch > 1 for case in networks(view.run))
    axes.set_xlabel("latency of one batch (ms)" if batched else "latency of one inference (ms)", fontsize=9)
    for row in rows:
        height = bands.heights(models.index(row.case.model), len(style))[list(style).index(row.series)]
        if row.latency_ms is not None:
            bands.draw_mark(axes, height, row.latency_ms, style[row.series], noisy=row.too_noisy)
    return layout.figure


def _caption(view: View, rows: Sequence[CaseRow], names: ShortNames) -> list[str]:
    notes = [f"Bars: {view.run.plan.level:.0%} interval of the measured latency, over launches."]
    if any(row.too_noisy for row in rows):
        notes.append("Hollow: the machine was too noisy while this was measured; nothing follows from it.")
    if names.left_out:
        notes.append(f"Names leave out what all share: {names.left_out}.")
    if short := [row.name for row in view.networks if row.latency_ms is None]:
        more = f" and {len(short) - 8} more" if len(short) > 8 else ""
        notes.append(f"Not drawn, with fewer than {FEWEST_LAUNCHES} usable launches: {', '.join(short[:8])}{more}.")
    return notes
