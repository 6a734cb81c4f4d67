"""What the study `width-resolution` finds of the squares: the exponents of time in width and in resolution, judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from mnbench.catalog import cite
from mnbench.records import Estimate
from mnbench.report.numbers import bracketed
from mnbench.stats import exponents
from mnbench.studies import _measured
from mnbench.studies import _width_resolution_view as view
from mnbench.studies._cell_verdicts import combine
from mnbench.studies._width_resolution_grid import Grid, parts
from mnbench.studies._width_resolution_view import CLAIMED, FAMILIES, StepRow
from mnbench.study_records import Finding, Holds, counted

TOLERANCE = 0.25
"""The paper says that cost falls "roughly" by the square. An exponent within a quarter of 2 is taken to be roughly 2: that of
MobileNetV1's own multiply-adds, which are what the paper speaks of, is 1.9 from width 1.0 to 0.25."""


def steps_of(grid: Grid) -> list[StepRow]:
    """Return the exponents between neighbours, from the largest step down."""
    rows = []
    for backend in grid.backends:
        for family in FAMILIES:
            for along in ("width", "resolution"):
                for fixed, line in _lines(grid, backend, family, along).items():
                    rows += [_step(grid, backend, family, along, fixed, line, pair) for pair in pairwise(line)]
    return rows


def _lines(grid: Grid, backend: str, family: str, along: str) -> dict[float, dict[float, str]]:
    """Return the networks that differ in one size only: by the other size, then by this one, from the largest down."""
    found: dict[float, dict[float, str]] = {}
    for name, network in grid.logs:
        kind, width, resolution = parts(network)
        if (name, kind) == (backend, family):
            fixed, size = (float(resolution), width) if along == "width" else (width, float(resolution))
            found.setdefault(fixed, {})[size] = network
    return {fixed: dict(sorted(found[fixed].items(), reverse=True)) for fixed in sorted(found, reverse=True)}


def _step(
    grid: Grid, backend: str, family: str, along: str, fixed: float, line: Mapping[float, str], sizes: tuple[float, float]
) -> StepRow:
    larger, smaller = sizes
    exponent = exponents.over_launches({size: grid.logs[backend, line[size]] for size in sizes}, grid.run.plan.level)
    value, low, high = _measured.bounds(exponent)
    return StepRow(
        family=family, backend=backend, along=along, at=fixed, larger=larger, smaller=smaller,
        madds_exponent=_counted_exponent(grid, line, sizes),
        time_exponent=value, time_exponent_low=low, time_exponent_high=high,
    )  # fmt: skip


def _counted_exponent(grid: Grid, line: Mapping[float, str], sizes: Sequence[float]) -> float | None:
    known = [size for size in sizes if line[size] in grid.madds]
    if len(known) < len(sizes) or len(known) < 2:
        return None
    return exponents.slope([math.log(size) for size in known], [math.log(grid.madds[line[size]]) for size in known])


def exponent_finding(grid: Grid, steps: Sequence[StepRow], family: str, along: str) -> Finding:
    """Judge whether latency follows the square of the width (at 224) or of the resolution (at width 1)."""
    other, fixed = ("resolution", 224.0) if along == "width" else ("width", 1.0)
    found: dict[str, Estimate | None] = {}
    figures: list[tuple[str, str, Estimate | None]] = []
    ends = []
    for backend in grid.backends:
        line = {
            size: name for size, name in _lines(grid, backend, family, along).get(fixed, {}).items() if size <= _most(along)
        }
        found[backend] = exponents.over_launches({size: grid.logs[backend, line[size]] for size in line}, grid.run.plan.level)
        figures.append((f"exponent of latency in {along}, {backend}", "", found[backend]))
        mine = [
            s
            for s in steps
            if (s.family, s.backend, s.along, s.at) == (family, backend, along, fixed) and s.larger <= _most(along)
        ]
        figures += [
            (f"from {step.larger:g} to {step.smaller:g}, {backend}", "", view.step_estimate(grid.run, step)) for step in mine
        ]
        ends.append(f"in {backend} {_end(mine)}")
        madds = _counted_exponent(grid, line, list(line))
    figures.append((f"exponent of MAdds in {along}", "", counted(madds) if grid.backends and madds is not None else None))
    said = [f"{bracketed(*_measured.bounds(exponent))} in {backend}" for backend, exponent in found.items()]
    symbol, section = ("alpha", "section 3.3") if along == "width" else ("rho", "section 3.4")
    return Finding(
        claim=f"Computational cost falls roughly by the square of the {along} multiplier {symbol} (here for "
        f"{FAMILIES[family]}).",
        source=cite("MobileNetV1 paper", section),
        measured=f"at {other} {fixed:g}, latency goes with {along} to the power of {_measured.listed(said)}; "
        f"{_measured.listed(ends)}.",
        figures=_measured.figures(figures),
        verdict=combine([near(exponent, CLAIMED, TOLERANCE) for exponent in found.values()]),
        limits=f"The paper speaks of multiply-adds; judged is time. Roughly the square: an exponent within {TOLERANCE:g} "
        "of 2. Channels "
        "are rounded to multiples of 8, and MobileNetV2's last layer is not narrowed, so that multiply-adds do not follow "
        "the square "
        "either: their exponent stands among the figures. Widths above 1 and the other sizes stand in the table.",
    )


def _most(along: str) -> float:
    return 1.0 if along == "width" else math.inf


def _end(steps: Sequence[StepRow]) -> str:
    """Say from which size on time no longer falls with the square: from there, every step's interval lies below."""
    if not steps or any(step.time_exponent_high is None for step in steps):
        return "not every step has an interval"
    below = [step.time_exponent_high is not None and step.time_exponent_high < CLAIMED - TOLERANCE for step in steps]
    first = next((place for place in range(len(steps)) if all(below[place:])), None)
    return (
        f"below {steps[first].larger:g} time falls more slowly than by the square"
        if first is not None
        else "the last step may still follow the square"
    )


def near(exponent: Estimate | None, claimed: float, tolerance: float) -> Holds:
    """Judge an exponent: all of its interval near the claim, none of it, or neither."""
    if exponent is None:
        return Holds.UNDECIDED
    if exponent.low >= claimed - tolerance and exponent.high <= claimed + tolerance:
        return Holds.YES
    return Holds.NO if exponent.high < claimed - tolerance or exponent.low > claimed + tolerance else Holds.UNDECIDED
