"""This CPU's ratios to the baseline network, beside those of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from mnbench.records import PublishedLatency, Verdict
from mnbench.report import bands, canvas
from mnbench.report.axis import set_positive_scale
from mnbench.report.naming import ShortNames, conditions, is_null, short_names
from mnbench.report.numbers import Figure as Number
from mnbench.report.numbers import bounds, fixed, significant
from mnbench.report.published import cited
from mnbench.report.view import View
from mnbench.stats.intervals import FEWEST_LAUNCHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "ratio-vs-paper"
NOT_REPORTED = "paper: not reported"
PAPER = canvas.Style(name="paper", colour="#000000", marker="d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One network: the paper's ratio and this CPU's, by series."""

    model: str
    paper: float | None
    published: PublishedLatency | None
    of_catalog: bool
    measured: dict[str, tuple[Number, bool]]
    """By series the ratio, which is an exact 1 for the baseline, and whether the machine was too noisy for it."""

    @property
    def paper_text(self) -> str:
        """The paper's ratio, or its milliseconds where there is no figure to divide them by; empty for a user's model."""
        if not self.of_catalog:
            return ""
        if self.paper is not None:
            return "paper: " + fixed(self.paper, max(2, significant(self.paper, 2)))
        return NOT_REPORTED if self.published is None else f"paper: {self.published.latency_ms:g} ms"


def write(view: View, directory: Path) -> list[Path]:
    """Write the plot as PNG and SVG; nothing for ratios between environments.

    Raises StoreError when a file cannot be written.
    """
    return view.plots[NAME].save(directory) if NAME in view.plots else []


def figure(view: View) -> Figure:
    """Draw the plot: a band per network, in it the paper's mark and one per series with its interval."""
    groups = collect(view)
    names = short_names([group.model for group in groups], own=[row.model for row in view.models])
    style = canvas.styles([row.series for row in view.rows if not is_null(row.case)])
    page = canvas.Page(
        title=f"Latency over that of {view.run.plan.baseline}: this CPU beside the paper",
        subtitle=conditions(view.run),
        caption=_caption(view, groups, names),
        legend=_legend(groups, style),
        width_in=9.0,
        axes_height_in=bands.height_in(len(style) + 1, len(groups)),
    )
    layout = canvas.lay_out(page, left_in=bands.left_in([names[group.model] for group in groups]), right_in=1.25)
    axes = layout.axes()
    _frame(axes, groups, names)
    for place, group in enumerate(groups):
        _draw_group(axes, place, group, style)
    axes.axvline(1.0, color=canvas.GREY, linewidth=1.0, linestyle="--", zorder=1.5)
    return layout.figure


def collect(view: View) -> list[Group]:
    """Return the networks of the plan in order, each with the paper's ratio and the measured ones."""
    groups: dict[str, Group] = {}
    own = {row.model for row in view.models}
    for row in view.networks:
        model = row.case.model
        group = groups.setdefault(
            model,
            Group(model=model, paper=row.paper_ratio, published=row.paper, of_catalog=model not in own, measured={}),
        )
        if row.shown_ratio is not None:
            group.measured[row.series] = (row.shown_ratio, row.verdict == Verdict.TOO_NOISY)
    return list(groups.values())


def _frame(axes: Axes, groups: Sequence[Group], names: ShortNames) -> None:
    bands.frame(axes, [names[group.model] for group in groups])
    marks = [bound for group in groups for ratio, _ in group.measured.values() for bound in bounds(ratio)]
    papers = [group.paper for group in groups if group.paper is not None]
    set_positive_scale(axes, [*marks, *papers, 1.0])
    axes.set_xlabel("latency over that of the baseline (ratio, no unit; below 1 is faster)", fontsize=9)
    edge = axes.get_yaxis_transform()
    for place, group in enumerate(groups):
        axes.text(
            1.015,
            place,
            group.paper_text,
            transform=edge,
            fontsize=canvas.LABEL_PT,
            va="center",
            color=canvas.GREY,
        )


def _draw_group(axes: Axes, place: int, group: Group, style: dict[str, canvas.Style]) -> None:
    heights = bands.heights(place, len(style) + 1)
    if group.paper is not None:
        axes.plot(group.paper, heights[0], PAPER.marker, color=PAPER.colour, markersize=bands.MARKER_PT + 1)
    for height, look in zip(heights[1:], style.values(), strict=True):
        if look.name not in group.measured:
            continue
        ratio, noisy = group.measured[look.name]
        bands.draw_mark(axes, height, ratio, look, noisy=noisy)


def _legend(groups: Sequence[Group], style: dict[str, canvas.Style]) -> list[Line2D]:
    drawn = {name for group in groups for name in group.measured}
    looks = [PAPER, *(look for look in style.values() if look.name in drawn)]
    handles = bands.legend(looks, noisy=False)
    handles.append(Line2D([], [], color=canvas.GREY, linestyle="--", linewidth=1.0, label="baseline = 1"))
    if any(noisy for group in groups for _, noisy in group.measured.values()):
        handles.append(bands.hollow())
    return handles


def _caption(view: View, groups: Sequence[Group], names: ShortNames) -> list[str]:
    latencies = [group.published for group in groups if group.paper is not None and group.published is not None]
    devices = ", ".join(dict.fromkeys(latency.device for latency in latencies))
    notes = (
        [f"Paper: {cited(latency.source for latency in latencies)}; measured there on {devices}."]
        if latencies
        else ["No published latency for these networks that can be divided by one of the baseline."]
    )
    if any(group.measured for group in groups):
        notes.append(
            f"Bars: {view.run.plan.level:.0%} interval of the measured ratio, over launches. "
            "The baseline's own ratio is 1 by definition."
        )
    else:
        notes.append(f"No measured ratio: the baseline {view.run.plan.baseline} was not measured.")
    if any(noisy for group in groups for _, noisy in group.measured.values()):
        notes.append("Hollow: the machine was too noisy while this or the baseline was measured; nothing follows from it.")
    if names.left_out:
        notes.append(f"Names leave out what all share: {names.left_out}.")
    drawn = {(group.model, name) for group in groups for name in group.measured}
    rows = [row for row in view.rows if not is_null(row.case)]
    absent = [f"{row.case.model} ({row.case.backend})" for row in rows if (row.case.model, row.series) not in drawn]
    if absent and len(absent) < len(rows):
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        notes.append(
            f"No measured ratio for {', '.join(absent[:8])}{more}: "
            f"fewer than {FEWEST_LAUNCHES} usable launches, here or of the baseline."
        )
    return notes
