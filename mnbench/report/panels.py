"""What a study's plot shows: panels side by side, each with series of marks that have intervals, and reference lines.

Records only; they are drawn by `panel_plot`, which loads matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mnbench.records import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One figure to draw, with its interval on either axis."""

    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    label: str = ""
    hollow: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Marks of one colour. Series of one name look alike in every panel."""

    name: str
    marks: Sequence[Mark]
    joined: bool = True
    reference: bool = False
    """Drawn in grey without markers: what was not measured here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    series: Sequence[Series]
    x_label: str
    y_label: str
    x_log: bool = True
    y_log: bool = True
    x_names: Mapping[float, str] = field(default_factory=dict)
    """Ticks of x by name, instead of round numbers."""
    lines: Mapping[str, float] = field(default_factory=dict)
    """Horizontal reference lines, by what they say."""
    y_from_zero: bool = False
    y_also: Sequence[float] = ()
    """Values that y has to reach as well: those of another panel that this one is to be compared with."""


def at(x: float, y: Estimate, **more: object) -> Mark:
    """Return the mark of an estimate at a place on x."""
    return Mark(x=x, y=y.value, y_interval=(y.low, y.high), **more)  # type: ignore[arg-type] # the fields of Mark


def draw(
    title: str,
    subtitle: str,
    caption: Sequence[str],
    panels: Sequence[Panel],
    *,
    columns: int = 2,
    panel_height_in: float = 3.6,
    notes: Mapping[str, str] | None = None,
) -> Figure:
    """Return the figure. `notes` adds markers to the legend: `hollow` or `faint`, and what it says."""
    from mnbench.report import panel_plot  # here: it loads matplotlib, which listing studies does not need

    return panel_plot.draw(
        title, subtitle, caption, panels, columns=columns, panel_height_in=panel_height_in, notes=notes or {}
    )
