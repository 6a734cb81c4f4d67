"""What the study `width-resolution` finds of the squares: the exponents of time in width and in resolution, judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from mnbench.catalog import cite
from mnbench.records import Estimate
from mnbench.records.study import Finding, Holds, counted
from mnbench.report.numbers import bracketed
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import combine, family_level
from mnbench.studies.width_resolution import power_law
from mnbench.studies.width_resolution.grid import Grid, parts
from mnbench.studies.width_resolution.view import CLAIMED, FAMILIES, StepRow

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
    exponent = power_law.over_launches({size: grid.logs[backend, line[size]] for size in sizes}, grid.run.plan.level)
    return StepRow(
        family=family, backend=backend, along=along, at=fixed, larger=larger, smaller=smaller,
        madds_exponent=_counted_exponent(grid, line, sizes),
        time_exponent=exponent,
    )  # fmt: skip


def _counted_exponent(grid: Grid, line: Mapping[float, str], sizes: Sequence[float]) -> float | None:
    known = [size for size in sizes if line[size] in grid.madds]
    if len(known) < len(sizes) or len(known) < 2:
        return None
    return power_law.slope([math.log(size) for size in known], [math.log(grid.madds[line[size]]) for size in known])


def exponent_finding(grid: Grid, steps: Sequence[StepRow], family: str, along: str) -> Finding:
    """Judge whether latency follows the square of the width (at 224) or of the resolution (at width 1).

    Not judged where multiply-adds, which the paper speaks of, do not follow it either.
    """
    fixed = 224.0 if along == "width" else 1.0
    lines = {
        backend: {
            size: name for size, name in _lines(grid, backend, family, along).get(fixed, {}).items() if size <= _most(along)
        }
        for backend in grid.backends
    }
    level = grid.run.plan.level
    found = {backend: _exponent(grid, backend, line, line, level) for backend, line in lines.items()}
    madds = next((_counted_exponent(grid, line, list(line)) for line in lines.values()), None)
    follows = madds is not None and abs(madds - CLAIMED) <= TOLERANCE
    figures: list[tuple[str, str, Estimate | None]] = []
    for backend, exponent in found.items():
        figures.append((f"exponent of latency in {along}, {backend}", "", exponent))
        figures += [
            (f"from {step.larger:g} to {step.smaller:g}, {backend}", "", step.time_exponent)
            for step in steps
            if (step.family, step.backend, step.along, step.at) == (family, backend, along, fixed)
            and step.larger <= _most(along)
        ]
    figures.append((f"exponent of MAdds in {along}", "", None if madds is None else counted(madds)))
    planned = list(dict.fromkeys(name for line in lines.values() for name in line.values()))
    return Finding(
        claim=_claim(family, along),
        source=cite("MobileNetV1 paper", "section 3.3" if along == "width" else "section 3.4"),
        measured=_said(found, along, fixed, madds, follows) + told_ends(grid, lines) + grid.lacking(planned),
        figures=readings.figures(figures),
        verdict=combine([near(exponent, CLAIMED, TOLERANCE) for exponent in found.values()]) if follows else Holds.UNDECIDED,
        limits=f"The paper speaks of multiply-adds; judged is time, where they follow the square. Roughly the square: an "
        f"exponent within {TOLERANCE:g} of 2. Channels are rounded to multiples of 8, and MobileNetV2's last layer is not "
        "narrowed. From which size on time falls more slowly is said of all steps of all backends at once (Bonferroni). Widths "
        "above 1 and the other sizes stand in the table.",
    )


def _claim(family: str, along: str) -> str:
    """Return the paper's claim; about MobileNetV2, which it does not know, as a reading."""
    symbol = "alpha" if along == "width" else "rho"
    whose = "here for MobileNetV1" if family == "mobilenet_v1" else f"carried over to {FAMILIES[family]}: our reading"
    return f"Computational cost falls roughly by the square of the {along} multiplier {symbol} ({whose})."


def _said(found: Mapping[str, Estimate | None], along: str, fixed: float, madds: float | None, follows: bool) -> str:
    other = "resolution" if along == "width" else "width"
    said = [f"{bracketed(exponent)} in {backend}" for backend, exponent in found.items()]
    words = f"at {other} {fixed:g}, latency goes with {along} to the power of {readings.listed(said)}"
    if follows:
        return f"{words}. "
    if madds is None:
        return f"{words}. Not judged: the multiply-adds of these networks were not counted. "
    return f"{words}. Not judged: multiply-adds themselves go with it to the power of {madds:.2f}, not of 2. "


def _most(along: str) -> float:
    return 1.0 if along == "width" else math.inf


def _exponent(grid: Grid, backend: str, line: Mapping[float, str], sizes: Iterable[float], level: float) -> Estimate | None:
    return power_law.over_launches({size: grid.logs[backend, line[size]] for size in sizes}, level)


def told_ends(grid: Grid, lines: Mapping[str, Mapping[float, str]]) -> str:
    """Say from which size on time no longer falls with the square: from there, every step's interval lies below.

    The intervals are such that those of all steps of all backends hold at once.
    """
    strict = family_level(grid.run.plan.level, sum(max(0, len(line) - 1) for line in lines.values()))
    ends = []
    for backend, line in lines.items():
        steps = {pair[0]: _exponent(grid, backend, line, pair, strict) for pair in pairwise(line)}
        ends.append(f"in {backend} {_end(steps)}")
    return f"{_capitalised(readings.listed(ends))}." if ends else ""


def _end(steps: Mapping[float, Estimate | None]) -> str:
    """Say it of one backend, from the exponent of each step by the larger of its sizes, from the largest down."""
    known = [step for step in steps.values() if step is not None]
    if not steps or len(known) < len(steps):
        return "not every step has an interval"
    below = [step.high < CLAIMED - TOLERANCE for step in known]
    first = next((size for place, size in enumerate(steps) if all(below[place:])), None)
    if first is None:
        return "the last step may still follow the square"
    return f"below {first:g} time falls more slowly than by the square"


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def near(exponent: Estimate | None, claimed: float, tolerance: float) -> Holds:
    """Judge an exponent: all of its interval near the claim, none of it, or neither."""
    if exponent is None:
        return Holds.UNDECIDED
    if exponent.low >= claimed - tolerance and exponent.high <= claimed + tolerance:
        return Holds.YES
    return Holds.NO if exponent.high < claimed - tolerance or exponent.low > claimed + tolerance else Holds.UNDECIDED
