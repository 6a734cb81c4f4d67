"""What the study `separable` says: of the formula, of Table 3, of the whole network as a proof, of graphs of one operator."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from mnbench.catalog import cite
from mnbench.catalog.operators import cost
from mnbench.records import Estimate
from mnbench.report.numbers import bracketed
from mnbench.stats.intervals import FEWEST_LAUNCHES
from mnbench.stats.slopes import STRAY_PCT, log_ratio, scaled
from mnbench.studies._operator_slopes import Key, Times
from mnbench.studies._separable_grid import TABLE_3, Cell
from mnbench.studies._separable_layers import proof
from mnbench.studies._separable_rows import OperatorRow, refused_counts
from mnbench.studies._separable_speedups import (
    parts_logs,
    planned_cells,
    single_speedup_logs,
    speedup,
    speedup_logs,
    table_3_operator,
    table_3_speedup,
)
from mnbench.studies._separable_verdicts import ByLaunch, judge_shares, judge_steps, judge_within, median_over
from mnbench.study_records import Figure, Finding, counted

PAPER = "MobileNetV1 paper"
LIMITS = (
    "One thread, fp32, random weights, input and output of an operator as its neighbours in a chain leave and want them; "
    "other CPUs and other versions of the runtimes may differ."
)


def formula_finding(found: Times, operators: Sequence[OperatorRow]) -> Finding:
    """Compare the speed-up of separable convolutions with that of the formula, over the grid."""
    groups = _groups(planned_cells(found))
    figures: list[Figure] = []
    medians: list[Estimate | None] = []
    said = []
    for backend in found.backends:
        shares = {name: _shares(found, cells, backend) for name, cells in groups.items()}
        median = median_over(shares["grid"].values(), found.level)
        medians.append(median)
        figures += _share_figures(found, backend, shares, median)
        if median is not None:
            said.append(f"{backend} {_pct(median)} (median over {len(shares['grid'])} shapes)")
    refused = refused_counts(operators)
    kept = sum(row.slope_ms is not None for row in operators)
    refusals = "; ".join(f"{number} {reason}" for reason, number in refused.items()) or "none refused"
    return Finding(
        claim="A depthwise separable convolution needs 1/N + 1/DK² of a standard convolution's multiply-adds, "
        "8 to 9 times fewer with 3x3 kernels; read as time, it is faster by as much.",
        source=cite(PAPER, "section 3.1"),
        measured=f"Of the speed-up that the formula gives, this CPU reaches: {'; '.join(said) or 'too little was measured'}.",
        figures=tuple(figures),
        verdict=judge_shares(medians),
        limits=f"{LIMITS} Of {len(operators)} lines {kept} have a time ({refusals}). {_left_out(found)}",
    )


def table_3_finding(found: Times) -> Finding:
    """Go through Table 3 row by row."""
    figures, steps, gains = [], [], []
    for place, (name, *_) in enumerate(TABLE_3):
        each = cost(table_3_operator(place))
        figures.append(Figure(label=f"{name}, multiply-adds", unit="M", estimate=counted(round(each.madds / 1e6, 1))))
        for backend in found.backends:
            time = found.time(Key(operator=table_3_operator(place), backend=backend)).estimate
            if time is not None:
                figures.append(Figure(label=f"{name}, {backend}", unit="ms", estimate=_divided(time, 1e6)))
            if place:
                gain = table_3_speedup(found, backend, place)
                promised = cost(table_3_operator(0)).madds / each.madds
                steps.append(table_3_speedup(found, backend, place, against=place - 1))
                gains.append(_divided(gain, promised) if gain else None)
                if gain:
                    label = f"{name}, {backend}: times faster than the first row (multiply-adds: {promised:.1f} times fewer)"
                    figures.append(Figure(label=label, unit="x", estimate=gain))
    said = [
        f"{backend} {' → '.join(_x(table_3_speedup(found, backend, place)) for place in range(1, len(TABLE_3)))}"
        for backend in found.backends
    ]
    return Finding(
        claim="Each step of Table 3 saves: one layer takes 462 → 52.3 → 29.6 → 15.1 million multiply-adds, 8.8, 15.6 and 30.6 "
        "times fewer than the standard convolution.",
        source=cite(PAPER, "Table 3"),
        measured=f"Times faster than the standard convolution, row by row: {'; '.join(said)}.",
        figures=tuple(figures),
        verdict=judge_steps(steps, gains),
        limits=f"{LIMITS} ρ = 0.714 is taken as 10x10. Multiply-adds are counted on the modules and are those printed.",
    )


def proof_finding(found: Times) -> Finding:
    """Add up the layers of MobileNetV1."""
    proofs = [proof(found, backend) for backend in found.backends]
    figures, said = [], []
    for one in proofs:
        rows = (
            ("network", "ms", one.network_ms),
            ("sum of slopes / network", "x", one.slopes),
            ("sum of graphs of one operator / network", "x", one.singles),
        )
        figures += [Figure(label=f"{one.backend}: {name}", unit=unit, estimate=e) for name, unit, e in rows if e is not None]
        said.append(f"in {one.backend} {_x(one.slopes)} of its latency by slopes, {_x(one.singles)} by graphs of one operator")
    missing = [f"{one.backend}: no time for {', '.join(one.missing)}" for one in proofs if one.missing]
    return Finding(
        claim="MobileNetV1 is the sum of the layers of its Table 1: timed one by one, they add up to its time within 10 %.",
        source=cite(PAPER, "Table 1"),
        measured=f"The layers add up to {'; '.join(said)}.",
        figures=tuple(figures),
        verdict=judge_within([one.slopes for one in proofs]),
        limits="A slope has neither the call nor the conversion of input and output in it, which the network has once. Where "
        "channels change, a pointwise layer's time is the mean of both ways. The fully connected layer has a ReLU behind it. "
        "The global pool is what stands behind copies side by side; it has no graph of its own, and enters both sums as that."
        " Each layer counts with the mean over its own launches, and their errors are added as squares."
        + (f" Undecided: {'; '.join(missing)}." if missing else ""),
    )


def singles_finding(found: Times) -> Finding:
    """Say what one would conclude from graphs of one operator."""
    figures: list[Figure] = []
    medians: list[Estimate | None] = []
    said = []
    cells = _groups(planned_cells(found))["grid"]
    for backend in found.backends:
        relative = _usable(
            {c: log_ratio(single_speedup_logs(found, c, backend), speedup_logs(found, c, backend)) for c in cells}
        )
        median = median_over(relative.values(), found.level)
        medians.append(median)
        if median is not None:
            label = f"{backend}: speed-up from graphs of one operator / from slopes, median of {len(relative)} shapes"
            figures.append(Figure(label=label, unit="x", estimate=median))
            said.append(f"in {backend} {_x(median)} of the speed-up that slopes show")
        figures += _longer(found, backend)
    sums = [proof(found, backend).singles for backend in found.backends]
    added = ", ".join(f"{_x(one)} of it in {backend}" for one, backend in zip(sums, found.backends, strict=True))
    return Finding(
        claim="A graph of one operator shows what it costs in a network: such graphs add up to it, and show its speed-ups.",
        source=cite(PAPER, "section 3.1, as benchmarks of single operators test it"),
        measured=f"Graphs of one operator show, as a median, {'; '.join(said) or 'nothing: too little was measured'}; those of "
        f"MobileNetV1's layers add up to {added}.",
        figures=tuple(figures),
        verdict=judge_within([*medians, *sums]),
        limits=f"{LIMITS} A graph of one operator includes the call from Python and the conversion of its input and output to "
        "the layout that the runtime computes in, once each.",
    )


def _left_out(found: Times) -> str:
    """Say what is left out, and whether its own latency decided that."""
    if found.trimmed:
        out, of = found.left_out()
        return (
            f"{out} of {of} launches of a graph are left out: over {STRAY_PCT:g} % longer or shorter than in its median "
            "launch. No counter of the kernel says why."
        )
    out, of = found.disturbed()
    return (
        f"{out} of {of} rounds are left out as disturbed: not settled beforehand, or by the kernel's counters, or by a "
        "reference workload timed before and after each; none for what its measured part took. A neighbour on the same core "
        "that came and went between those two is not seen."
    )


def _groups(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the cells of the systematic grid, and those of each variation of it."""
    square = [cell for cell in cells if cell.in_channels == cell.out_channels]
    return {
        "grid": [c for c in square if c.kernel == 3 and c.stride == c.batch == 1],
        "kernel 5": [c for c in square if c.kernel == 5],
        "stride 2": [c for c in cells if c.stride == 2],
        "batch 8": [c for c in cells if c.batch == 8],
    }


def _shares(found: Times, cells: Sequence[Cell], backend: str) -> dict[Cell, ByLaunch]:
    """Return log(measured over formula speed-up) by launch, of each cell that was measured."""
    return _usable({cell: scaled(1 / cell.formula, speedup_logs(found, cell, backend)) for cell in cells})


def _usable(by_cell: Mapping[Cell, ByLaunch]) -> dict[Cell, ByLaunch]:
    return {cell: logs for cell, logs in by_cell.items() if len(logs) >= FEWEST_LAUNCHES}


def _share_figures(
    found: Times, backend: str, shares: Mapping[str, Mapping[Cell, ByLaunch]], median: Estimate | None
) -> list[Figure]:
    figures = []
    grid = shares["grid"]
    for name, by_cell in shares.items():
        estimate = median if name == "grid" else median_over(by_cell.values(), found.level)
        if estimate is not None:
            what = "3x3, stride 1, batch 1" if name == "grid" else name
            label = f"{backend}: share of the formula's speed-up, {what}, median of {len(by_cell)} shapes"
            figures.append(Figure(label=label, unit="%", estimate=_divided(estimate, 0.01)))
    gains = {cell: gain for cell in grid if (gain := speedup(found, cell, backend)) is not None}
    for word, choose in (("least", min), ("most", max)):
        if gains:
            cell = choose(gains, key=lambda one: gains[one].value / one.formula)
            share = _divided(gains[cell], cell.formula / 100)
            figures.append(Figure(label=f"{backend}: {word} of the grid, {cell.name}", unit="%", estimate=share))
    if gains:
        faster = sum(gain.low > 1 for gain in gains.values())
        slower = sum(gain.high < 1 for gain in gains.values())
        for word, number in (("faster", faster), ("slower", slower)):
            label = f"{backend}: shapes of {len(gains)} where separable is {word}"
            figures.append(Figure(label=label, unit="", estimate=counted(number)))
    return figures + _depthwise_figures(found, backend, list(grid))


def _depthwise_figures(found: Times, backend: str, cells: Sequence[Cell]) -> list[Figure]:
    """Say what part of a pair's time is its depthwise layer, and of its multiply-adds."""
    part = {}
    for cell in cells:
        depthwise = found.time(Key(operator=cell.depthwise, backend=backend, batch=cell.batch)).logs
        part[cell] = log_ratio(depthwise, parts_logs(found, cell, backend))
    usable = _usable(part)
    median = median_over(usable.values(), found.level)
    if median is None:
        return []
    madds = statistics.median(100 * cell.kernel**2 / (cell.kernel**2 + cell.out_channels) for cell in usable)
    label = f"{backend}: depthwise layer's share of the pair's time, median (of its multiply-adds: {madds:.1f} %)"
    return [Figure(label=label, unit="%", estimate=_divided(median, 0.01))]


def _longer(found: Times, backend: str) -> list[Figure]:
    """Return by kind how many times longer a graph of one operator takes than its slope."""
    figures = []
    for kind in ("standard", "depthwise", "pointwise", "separable"):
        keys = [key for key in found.lines() if key.operator.kind == kind and key.backend == backend]
        by_operator = [
            logs for key in keys if len(logs := log_ratio(found.single(key), found.time(key).logs)) >= FEWEST_LAUNCHES
        ]
        median = median_over(by_operator, found.level)
        if median is not None:
            label = f"{backend}: {kind}, graph of one / slope, median of {len(by_operator)} shapes"
            figures.append(Figure(label=label, unit="x", estimate=median))
    return figures


def _divided(estimate: Estimate, by: float) -> Estimate:
    low, high = estimate.low / by, estimate.high / by
    return Estimate(value=estimate.value / by, low=low, high=high, level=estimate.level, method=estimate.method)


def _pct(share: Estimate) -> str:
    return f"{bracketed(100 * share.value, 100 * share.low, 100 * share.high)} %"


def _x(estimate: Estimate | None) -> str:
    return "(no figure)" if estimate is None else f"{bracketed(estimate.value, estimate.low, estimate.high)}"
