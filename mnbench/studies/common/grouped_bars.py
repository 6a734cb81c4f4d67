"""Grouped bars with intervals, which several studies draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from mnbench.records import Estimate
from mnbench.report import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP_WIDTH = 0.82
HATCHES = ("", "///", "...", "xxx")
"""Told apart in grey, too."""


def grouped(
    axes: Axes, groups: Sequence[str], bars: Mapping[str, Mapping[str, Estimate]], looks: Mapping[str, tuple[str, str]]
) -> None:
    """Draw for each group a bar of each series that has an estimate there, with its interval.

    `bars` maps series to group to estimate, `looks` series to (colour, hatch). The numbers stand on the bars.
    """
    canvas.tidy(axes)
    axes.grid(visible=False, axis="x")
    width = GROUP_WIDTH / max(1, max((sum(group in one for one in bars.values()) for group in groups), default=1))
    for place, group in enumerate(groups):
        present = [(series, by_group[group]) for series, by_group in bars.items() if group in by_group]
        for slot, (series, estimate) in enumerate(present):
            colour, hatch = looks[series]
            x = place + (slot + 0.5 - len(present) / 2) * width
            axes.bar(x, estimate.value, width * 0.92, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            below, above = max(0.0, estimate.value - estimate.low), max(0.0, estimate.high - estimate.value)
            if below or above:
                axes.errorbar(x, estimate.value, yerr=[[below], [above]], fmt="none", ecolor="black", elinewidth=1, capsize=2)
            top = max(estimate.high, estimate.value)
            axes.annotate(f"{estimate.value:.2f}" if estimate.value < 10 else f"{estimate.value:.0f}", (x, top), xytext=(0, 2),
                          textcoords="offset points", ha="center", va="bottom", fontsize=6.5,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85})  # fmt: skip
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.6, max(len(groups), 1) - 0.4)
    axes.tick_params(axis="x", length=0)


def legend(looks: Mapping[str, tuple[str, str]]) -> list[Patch]:
    """Return the legend of grouped bars."""
    return [Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name) for name, (colour, hatch) in looks.items()]
