"""A horizontal axis for positive quantities: linear for a narrow range, logarithmic for a wide one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM = 5.0
"""Ends that differ by more than this factor make the axis logarithmic: on a linear one the small end is a blot."""


def set_positive_scale(axes: Axes, values: Sequence[float]) -> None:
    """Set limits and ticks of the x axis so that all `values` (positive) lie well inside."""
    low, high = (min(values), max(values)) if values else (0.5, 2.0)
    if high / low > LOG_FROM:
        margin = (high / low) ** 0.08
        axes.set_xscale("log")
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(low / margin, high * margin)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = max((high - low) * 0.12, high * 0.1)
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between `low` and `high`: 1, 2, 5 in each decade, more of them when the range is short."""
    digits: tuple[float, ...] = (1, 2, 5) if high / low > 20 else (1, 1.5, 2, 3, 4, 5, 7)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:g}"
