"""Numbers as text, with no more digits than their interval supports."""

from __future__ import annotations

import math

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


def bracketed(value: float | None, low: float | None, high: float | None) -> str:
    """Return `6.21 [6.14, 6.29]`; a value without an interval to three digits; a dash where there is no value."""
    if value is None or low is None or high is None:
        return _alone(value)
    places = decimals(low, high)
    return f"{fixed(value, places)} [{fixed(low, places)}, {fixed(high, places)}]"


def lopsided(value: float | None, low: float | None, high: float | None) -> str:
    """Return the same for an interval that may be far longer on one side: a digit more, where its shorter side supports it."""
    if value is None or low is None or high is None:
        return _alone(value)
    shorter = min((side for side in (value - low, high - value) if side > 0), default=0.0)
    places = min(decimals(value - shorter, value + shorter), decimals(low, high) + 1)
    return f"{fixed(value, places)} [{fixed(low, places)}, {fixed(high, places)}]"


def plus_minus(value: float | None, low: float | None, high: float | None) -> str:
    """Return `6.21 ±1.2 %`: the shorter form of the same statement, with half the width of the interval in per cent."""
    if value is None or low is None or high is None or not value:
        return _alone(value)
    half_width_pct = 50 * (high - low) / value
    shown = fixed(half_width_pct, max(0, min(significant(half_width_pct, 2), 2)))
    return f"{fixed(value, decimals(low, high))} ±{shown} %"


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
    return _alone(value)


def _alone(value: float | None) -> str:
    return DASH if value is None else f"{value:.3g}"
