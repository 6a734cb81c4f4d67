"""Numbers as text, with no more digits than their interval supports."""

from __future__ import annotations

import math

from mnbench.records import Estimate

Figure = Estimate | float
"""A number with its interval, or one that is exact."""
MOST_PRECISE = 1e-9
"""Of a value: an interval narrower than this is rounding, and says nothing of digits."""
DASH = "–"
"""Stands in a table where there is no figure."""


def decimals(low: float, high: float) -> int:
    """Return the decimals a value with this interval deserves: its last digit is the first digit of the half width.

    Negative for intervals wider than ten (-1: the value is rounded to tens).
    """
    half_width = (high - low) / 2
    if half_width > MOST_PRECISE * abs(low):
        return -math.floor(math.log10(half_width))
    return significant(low, 3)


def significant(value: float, digits: int) -> int:
    """Return the decimals that show `digits` significant digits of `value`."""
    return digits - 1 - math.floor(math.log10(abs(value))) if value else digits


def fixed(value: float, places: int) -> str:
    """Return `value` rounded to `places` decimals, which may be negative."""
    return f"{round(value, places):.{max(places, 0)}f}"


def bracketed(figure: Figure | None) -> str:
    """Return `6.21 [6.14, 6.29]`; a figure without an interval to three digits; a dash for None."""
    if not isinstance(figure, Estimate):
        return short(figure)
    places = decimals(figure.low, figure.high)
    return f"{fixed(figure.value, places)} [{fixed(figure.low, places)}, {fixed(figure.high, places)}]"


def lopsided(figure: Figure | None) -> str:
    """Return the same for an interval that may be far longer on one side: a digit more, where its shorter side supports it."""
    if not isinstance(figure, Estimate):
        return short(figure)
    value, low, high = figure.value, figure.low, figure.high
    shorter = min((side for side in (value - low, high - value) if side > 0), default=0.0)
    places = min(decimals(value - shorter, value + shorter), decimals(low, high) + 1)
    return f"{fixed(value, places)} [{fixed(low, places)}, {fixed(high, places)}]"


def plus_minus(figure: Figure | None) -> str:
    """Return `6.21 ±1.2 %`: the shorter form of the same statement, with half the width of the interval in per cent."""
    if not isinstance(figure, Estimate) or not figure.value:
        return short(figure.value if isinstance(figure, Estimate) else figure)
    half_width_pct = figure.half_width_pct
    shown = fixed(half_width_pct, max(0, min(significant(half_width_pct, 2), 2)))
    return f"{fixed(figure.value, decimals(figure.low, figure.high))} ±{shown} %"


def span(figure: Figure | None) -> str:
    """Return `0.981 to 1.022`, the ends of an interval whose middle is not the point; a dash for None."""
    if not isinstance(figure, Estimate):
        return short(figure)
    return f"{fixed(figure.low, 3)} to {fixed(figure.high, 3)}"


def bounds(figure: Figure) -> tuple[float, float, float]:
    """Return value, low and high; three times the same of an exact number."""
    return (figure.value, figure.low, figure.high) if isinstance(figure, Estimate) else (figure, figure, figure)


def count(number: float | None) -> str:
    """Return a count to three digits in millions, as `3.50M` or `301M`; a dash for None."""
    if number is None:
        return DASH
    millions = number / 1e6
    return f"{fixed(millions, max(0, min(significant(millions, 3), 3)))}M"


def plain(value: float | None, places: int | None = None) -> str:
    """Return a published number as its source prints it, or to `places` decimals; a dash for None."""
    if value is None:
        return DASH
    return f"{value:g}" if places is None else fixed(value, places)


def short(value: float | None) -> str:
    """Return a figure that has no interval of its own to three digits; a dash for None."""
    return DASH if value is None else f"{value:.3g}"
