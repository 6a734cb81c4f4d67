"""What the study `separable` says of the formula: the grid's share of it, and what kernel, stride and batch change."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mnbench.catalog import cite
from mnbench.records import Estimate
from mnbench.records.study import Figure, Finding, counted
from mnbench.studies.common.cell_verdicts import family_level
from mnbench.studies.common.operator_slopes import Key, Times
from mnbench.studies.common.slopes import log_ratio, ratio_of, scaled
from mnbench.studies.separable.grid import Cell, grid_cells
from mnbench.studies.separable.rows import OperatorRow, refused_counts
from mnbench.studies.separable.speedups import parts_logs, planned_cells, speedup_logs, why_not
from mnbench.studies.separable.verdicts import LITTLE, WITHIN, ByLaunch, in_common, judge_shares, median_over, usable
from mnbench.studies.separable.words import LIMITS, PAPER, pct

MOST_NAMED = 8
"""Shapes without a figure that are named; more are counted."""
Shares = Mapping[Cell, ByLaunch]
"""log(measured over formula speed-up) by launch, of each cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Shapes that differ in one thing from shapes of the grid, and are compared with those alone."""

    name: str
    twins: Mapping[Cell, Cell]
    """By shape, the same one with kernel 3, stride 1 and batch 1."""
    alone: int
    """Planned shapes of it that have no twin in the plan."""


def formula_finding(found: Times, operators: Sequence[OperatorRow]) -> Finding:
    """Compare the speed-up of separable convolutions with that of the formula, over the grid."""
    planned = planned_cells(found)
    grid, variations = grid_of(planned), list(variations_of(planned))
    shares = in_common({backend: _shares(found, grid, backend) for backend in found.backends})
    varied = {backend: list[Figure]() for backend in found.backends}
    for variation in variations:
        for backend, mine in _variation_figures(found, variation).items():
            varied[backend] += mine
    figures = [
        figure for b in found.backends for figure in (*_share_figures(found, b, shares[b]), *varied[b],
                                                      *_depthwise_figures(found, b, shares))
    ]  # fmt: skip
    cells = max((len(mine) for mine in shares.values()), default=0)
    said = [_said(found, backend, mine) for backend, mine in shares.items() if mine]
    return Finding(
        claim="A depthwise separable convolution needs 1/N + 1/DK² of a standard convolution's multiply-adds, "
        "8 to 9 times fewer with 3x3 kernels; read as time, it is faster by as much.",
        source=cite(PAPER, "section 3.1"),
        measured=f"Of the speed-up that the formula gives, this CPU reaches, as a median over {cells} shapes of the grid: "
        f"{'; '.join(said)}."
        if said
        else "Too little was measured.",
        figures=tuple(figures),
        verdict=judge_shares(
            [partial(median_over, list(mine.values())) for mine in shares.values()],
            found.level,
            cells=cells,
            planned=len(grid_cells()),
        ),
        limits=" ".join([_criterion(cells), LIMITS, *_without(found, grid, variations, operators), _left_out(found)]),
    )


def grid_of(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of the systematic grid."""
    return [c for c in cells if c.in_channels == c.out_channels and c.kernel == 3 and c.stride == c.batch == 1]


def variations_of(planned: Sequence[Cell]) -> Iterator[Variation]:
    """Yield what is varied, each shape with its twin, as far as both are planned."""
    there = set(planned)
    for name, mine in (
        ("kernel 5", [c for c in planned if c.kernel == 5]),
        ("stride 2", [c for c in planned if c.stride == 2]),
        ("batch 8", [c for c in planned if c.batch == 8]),
    ):
        twins = {cell: replace(cell, kernel=3, stride=1, batch=1) for cell in mine}
        paired = {cell: twin for cell, twin in twins.items() if twin in there}
        yield Variation(name=name, twins=paired, alone=len(mine) - len(paired))


def _shares(found: Times, cells: Sequence[Cell], backend: str) -> dict[Cell, ByLaunch]:
    return {cell: scaled(1 / cell.formula, speedup_logs(found, cell, backend)) for cell in cells}


def _said(found: Times, backend: str, shares: Shares) -> str:
    """Return the median, and how far single shapes are from it: the median is that of no layer."""
    median, ends = median_over(shares.values(), found.level), _extremes(found, shares)
    low, high = (f"{100 * share.value:.0f}" for _, _, share in ends)
    return f"{backend} {pct(median)} (single shapes from {low} to {high} %)"


def _extremes(found: Times, shares: Shares) -> list[tuple[str, Cell, Estimate]]:
    """Return the shapes with the least and the most of the formula's speed-up."""
    each = {cell: share for cell, logs in shares.items() if (share := ratio_of(logs, found.level)) is not None}
    ends = []
    for word, choose in (("least", min), ("most", max)):
        cell = choose(each, key=lambda one: each[one].value)
        ends.append((word, cell, each[cell]))
    return ends


def _share_figures(found: Times, backend: str, shares: Shares) -> list[Figure]:
    """Return the grid's median, its ends, and how many shapes gain anything."""
    median = median_over(shares.values(), found.level)
    if median is None:
        return []
    label = f"{backend}: share of the formula's speed-up, 3x3, stride 1, batch 1, median of {len(shares)} shapes (judged)"
    figures = [Figure(label=label, unit="%", estimate=median.per(0.01))]
    for word, cell, share in _extremes(found, shares):
        label = f"{backend}: {word} of the grid, chosen after the fact, {cell.name}"
        figures.append(Figure(label=label, unit="%", estimate=share.per(0.01)))
    strict = family_level(found.level, len(shares))
    gains = [gain for cell, logs in shares.items() if (gain := ratio_of(scaled(cell.formula, logs), strict)) is not None]
    for word, number in (("faster", sum(gain.low > 1 for gain in gains)), ("slower", sum(gain.high < 1 for gain in gains))):
        label = f"{backend}: shapes of {len(gains)} where separable is {word}, with intervals corrected for their number"
        figures.append(Figure(label=label, unit="", estimate=counted(number)))
    return figures


def _variation_figures(found: Times, variation: Variation) -> dict[str, list[Figure]]:
    """Return by runtime the median of a variation, that of its twins, and of one over the other: over the same shapes."""
    name, twins = variation.name, variation.twins
    mine = {backend: _shares(found, list(twins), backend) for backend in found.backends}
    grid = {backend: _shares(found, list(twins.values()), backend) for backend in found.backends}
    over = in_common(
        {b: {cell: log_ratio(mine[b][cell], grid[b][twin]) for cell, twin in twins.items()} for b in found.backends}
    )
    figures: dict[str, list[Figure]] = {}
    for backend, by_cell in over.items():
        shapes = f"{len(by_cell)} shapes"
        medians = (
            (f"share of the formula's speed-up, {name}, median of {shapes}", "%", [mine[backend][c] for c in by_cell]),
            (f"the same {shapes} with 3x3, stride 1, batch 1", "%", [grid[backend][twins[c]] for c in by_cell]),
            (f"{name} over those, shape by shape, share over share, median", "x", list(by_cell.values())),
        )
        for label, unit, logs in medians:
            estimate = median_over(logs, found.level)
            if estimate is not None:
                shown = estimate.per(0.01) if unit == "%" else estimate
                figures.setdefault(backend, []).append(Figure(label=f"{backend}: {label}", unit=unit, estimate=shown))
    return figures


def _depthwise_figures(found: Times, backend: str, shares: Mapping[str, Shares]) -> list[Figure]:
    """Say what part of a pair's time is its depthwise layer, and of its multiply-adds."""
    part = in_common({name: {cell: _depthwise_part(found, cell, name) for cell in mine} for name, mine in shares.items()})
    median = median_over(part[backend].values(), found.level)
    if median is None:
        return []
    cells = part[backend]
    madds = statistics.median(100 * cell.kernel**2 / (cell.kernel**2 + cell.out_channels) for cell in cells)
    of = f"median of {len(cells)} shapes (of its multiply-adds: {madds:.1f} %)"
    label = f"{backend}: depthwise layer's share of the pair's time, {of}"
    return [Figure(label=label, unit="%", estimate=median.per(0.01))]


def _depthwise_part(found: Times, cell: Cell, backend: str) -> ByLaunch:
    depthwise = found.time(Key(operator=cell.depthwise, backend=backend, batch=cell.batch)).logs
    return log_ratio(depthwise, parts_logs(found, cell, backend))


def _criterion(cells: int) -> str:
    return (
        f"Judged by the medians over the grid (3x3, M = N, stride 1, batch 1), with intervals corrected for their number: a "
        f"runtime agrees from {100 * (1 - WITHIN):.0f} % of the formula's speed-up on, not below {100 * LITTLE:.0f} %, and in "
        f"part between. {cells} of the grid's {len(grid_cells())} shapes have a figure in every runtime; with fewer than half "
        "of them nothing is decided. The least and the most of the grid are chosen after the fact, which drives them apart."
    )


def _without(
    found: Times, grid: Sequence[Cell], variations: Sequence[Variation], operators: Sequence[OperatorRow]
) -> Iterator[str]:
    """Say what has no figure, and why."""
    refusals = "; ".join(f"{number} {reason}" for reason, number in refused_counts(operators).items()) or "none refused"
    yield f"Of {len(operators)} lines {sum(row.slope_ms is not None for row in operators)} have a time ({refusals})."
    missing = [
        (f"{cell.name} in {backend}", why_not(found, cell, backend))
        for backend in found.backends
        for cell in dict.fromkeys((*grid, *(one for variation in variations for one in variation.twins)))
        if not usable({cell: speedup_logs(found, cell, backend)})
    ]
    if 0 < len(missing) <= MOST_NAMED:
        yield f"Without a speed-up: {'; '.join(f'{name} ({reason})' for name, reason in missing)}."
    elif missing:
        reasons = Counter(reason for _, reason in missing)
        yield f"Without a speed-up: {len(missing)} ({'; '.join(f'{number} {reason}' for reason, number in reasons.items())})."
    for variation in variations:
        if variation.alone:
            yield (
                f"{variation.alone} shapes with {variation.name} have no twin in the grid to compare them with, and stand in "
                "speedups.csv alone."
            )


def _left_out(found: Times) -> str:
    """Say what is left out, and that its own latency did not decide that."""
    out, of = found.disturbed()
    return (
        f"{out} of {of} rounds are left out as disturbed: by the kernel's counters, or by a "
        "reference workload timed before and after each; none for what its measured part took. A neighbour on the same core "
        "that came and went between those two is not seen."
    )
