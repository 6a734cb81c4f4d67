"""What the study `inverted-residual` concludes from a run and its facts. Pure: needs neither torch nor a runtime."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from mnbench.catalog import cite
from mnbench.catalog.operators import Operator, parse
from mnbench.records import Citation, Estimate, Run
from mnbench.report.naming import conditions
from mnbench.stats.slopes import mean_logs, ratio_of
from mnbench.studies import _inverted_residual_cells as block_cells
from mnbench.studies import _inverted_residual_plots as plots
from mnbench.studies import _inverted_residual_rows as rows
from mnbench.studies._cell_verdicts import combine, family_level, tally, within
from mnbench.studies._compiled import LayersByCase, convolutions, openvino_layers
from mnbench.studies._inverted_residual_cells import RESIDUAL_KINDS, EqualCost, Shortcut, Swept, shape
from mnbench.studies._inverted_residual_rows import BlockRow, MemoryRow
from mnbench.studies._matched_blocks import TOLERANCE
from mnbench.studies._operator_slopes import Times, backends_of, limits_of, operators_of
from mnbench.study_records import Conclusion, Facts, Figure, Finding, PlotFile, Table, counted

SAME = 1.10
"""Costs that differ by less are called the same: a choice of this study, which no source names."""
CHEAP = 1.05
"""A shortcut that adds less than this to its block costs next to nothing."""
CONSIDERABLY = 1.5
"""The paper gives no figure for "considerably"."""


def conclude(run: Run, facts: Facts) -> Conclusion:
    """Return the findings, tables and plots of whatever part of the plan was measured."""
    slopes, operators, backends = Times(run), operators_of(run), backends_of(run)
    equal = block_cells.equal_cost(slopes, operators, backends)
    swept = block_cells.swept(slopes, operators, backends)
    shortcuts = block_cells.shortcuts(slopes, operators, backends)
    memory = rows.memory_rows(operators)
    blocks, grid = rows.block_rows(facts.get("network", [])), rows.block_rows(facts.get("grid", []))
    compiled: LayersByCase = {**facts.get("ort_layers", {}), **openvino_layers(run)}
    where, level = conditions(run), slopes.level
    return Conclusion(
        findings=(
            equal_cost_finding(equal, backends, slopes),
            expansion_finding(swept, slopes),
            shortcut_finding(shortcuts, backends, slopes),
            memory_finding(memory, layers_per_block(run, compiled)),
            rule_finding(blocks, grid),
            formula_finding(blocks),
        ),
        tables=(
            Table(name="equal-cost", kind=rows.EqualCostRow, rows=[rows.equal_cost_row(cell, level) for cell in equal],
                  caption="Residual over inverted blocks (channels in-inside-out) of equal multiply-adds or equal weights."),
            Table(name="expansion", kind=rows.ExpansionRow, rows=[rows.expansion_row(cell, level) for cell in swept],
                  caption="One inverted block by its expansion t; `first` is the smallest t above 1."),
            Table(name="shortcut", kind=rows.ShortcutRow, rows=[rows.shortcut_row(cell, level) for cell in shortcuts],
                  caption="The same inverted block with its shortcut over it without."),
            Table(name="block-memory", kind=MemoryRow, rows=memory,
                  caption="Activations alive at once (one image, fp32): every tensor written, and the bound of section 5.1."),
            Table(name="shortcut-rule", kind=BlockRow, rows=grid,
                  caption="When may a block have a shortcut? The zoo's block by stride, with equal and with other channels."),
            Table(name="network-blocks", kind=BlockRow, rows=blocks, caption="The bottlenecks of the zoo's MobileNetV2 1.0."),
            Table(name="blocks-timed", kind=rows.TimedRow, rows=rows.timed_rows(slopes, operators, backends),
                  caption="Every block that was timed: slope and intercept over chains of it."),
        ),
        plots=(
            PlotFile(name="latency-against-expansion", caption="Latency of one block against its expansion, beside its MAdds.",
                     draw=lambda: plots.expansion(swept, where, level)),
            PlotFile(name="residual-against-inverted", caption="Residual over inverted blocks at equal cost.",
                     draw=lambda: plots.equal_cost(equal, where, level)),
            PlotFile(name="block-memory", caption="Activations of a block that are alive at once.",
                     draw=lambda: plots.memory(memory)),
        ),
    )  # fmt: skip


def equal_cost_finding(cells: Sequence[EqualCost], backends: Sequence[str], slopes: Times) -> Finding:
    """Judge whether blocks of equal MAdds take equal time; show those of equal weights."""
    by_madds = [cell for cell in cells if cell.equal == "madds"]
    strict = family_level(slopes.level, len(by_madds))
    judged = [within(ratio_of(cell.per_cost, strict), 1 / SAME, SAME) for cell in by_madds]
    figures = []
    for backend in backends:
        for kind in RESIDUAL_KINDS:
            of_kind = [cell for cell in cells if (cell.backend, cell.residual.kind) == (backend, kind)]
            for what, mine in (
                ("per MAdd and weight, stride 1", [cell for cell in of_kind if cell.block.stride == 1]),
                ("per MAdd, stride 2", [cell for cell in of_kind if cell.block.stride > 1 and cell.equal == "madds"]),
                ("per weight, stride 2", [cell for cell in of_kind if cell.block.stride > 1 and cell.equal == "params"]),
            ):
                label = f"{backend}: {kind} over inverted, {what}, mean of {_shapes(len(mine))}"
                figures += _figure(label, "x", ratio_of(mean_logs([cell.per_cost for cell in mine]), slopes.level))
    return Finding(
        claim="A block costs its multiply-adds, h·w·d'·t·(d' + k² + d''): a residual block of as many costs as much as an "
        "inverted one.",
        source=_v2("section 3.3"),
        measured=f"equal within {SAME - 1:.0%}: {tally(judged)}{_listed(figures, 2)}.",
        figures=tuple(figures),
        verdict=combine(judged),
        limits="The paper gives the formula; that equal counts cost equal time is what using it as a cost means. At stride "
        "1 blocks of equal multiply-adds on one map have equal weights. Widths are multiples of 8, so that costs are equal "
        f"within {TOLERANCE - 1:.0%}, and the ratios are divided by what is left. Accuracy is not compared. Blocks of "
        f"stride 2 stand side by side, and the pool behind each is part of its time. {limits_of(slopes)}",
    )


def expansion_finding(cells: Sequence[Swept], slopes: Times) -> Finding:
    """Judge whether latency follows t as MAdds do."""
    last = [cell for cell in cells if cell.is_last]
    strict = family_level(slopes.level, len(last))
    judged = []
    figures, counts = [], {}
    for cell in last:
        expected, found = cell.madds_over_first, ratio_of(cell.growth, slopes.level)
        judged.append(within(ratio_of(cell.growth, strict), expected / SAME, expected * SAME))
        ends = f"growth from t = {cell.first.expansion} to {cell.block.expansion}"
        figures += _figure(f"{cell.backend}, {shape(cell.block)}: {ends}", "x", found)
        counts[ends] = expected
    by_madds = [Figure(label=f"by MAdds: {ends}", unit="x", estimate=counted(value)) for ends, value in counts.items()]
    return Finding(
        claim="The cost of a block is proportional to its expansion t.",
        source=_v2("section 3.3"),
        measured=f"within {SAME - 1:.0%} of the MAdds' growth: {tally(judged)}{_listed([*figures, *by_madds], 2)}.",
        figures=(*figures, *by_madds),
        verdict=combine(judged),
        limits="Judged from the smallest expansion above 1 to the largest, on the power law through all. At t = 1 there is no "
        f"expansion layer, and the block costs less than the formula says: plotted, not judged. {limits_of(slopes)}",
    )


def shortcut_finding(cells: Sequence[Shortcut], backends: Sequence[str], slopes: Times) -> Finding:
    """Judge whether a shortcut costs next to nothing."""
    strict = family_level(slopes.level, len(cells))
    judged = [within(ratio_of(cell.logs, strict), 0.0, CHEAP) for cell in cells]
    figures = []
    for backend in backends:
        mine = [cell for cell in cells if cell.backend == backend]
        label = f"{backend}: with over without shortcut, mean of {_shapes(len(mine))}"
        figures += _figure(label, "x", ratio_of(mean_logs([cell.logs for cell in mine]), slopes.level))
    return Finding(
        claim="A shortcut adds no multiply-adds to its block, and so next to nothing to its cost.",
        source=_v2("section 3.3"),
        measured=f"at most {CHEAP - 1:.0%} more time: {tally(judged)}{_listed(figures, 3)}.",
        figures=tuple(figures),
        verdict=combine(judged),
        limits="The formula counts no additions; that they cost nothing is what using it as a cost means. The paper's "
        f"reason for shortcuts is training, which is not looked at. {limits_of(slopes)}",
    )


def memory_finding(found: Sequence[MemoryRow], per_block: dict[str, float]) -> Finding:
    """Judge whether the inverted design needs considerably less memory: by arithmetic, both ways of counting."""
    residual = [row for row in found if row.kind != "inverted"]
    judged: list[bool | None] = []
    figures = []
    for kind in dict.fromkeys(row.kind for row in residual):
        for name, ratios in (
            ("every tensor written", [row.materialised_over_inverted for row in residual if row.kind == kind]),
            ("bound of section 5.1", [row.bound_over_inverted for row in residual if row.kind == kind]),
        ):
            judged += [ratio >= CONSIDERABLY for ratio in ratios]
            figures += [
                Figure(label=f"{kind} over inverted, {name}, {end}", unit="x", estimate=counted(pick(ratios)))
                for end, pick in (("least", min), ("most", max))
            ]
    told = ", ".join(f"{number:g} in {backend}" for backend, number in per_block.items())
    return Finding(
        claim="The inverted design is considerably more memory efficient than the residual one.",
        source=_v2("section 3.3 and section 5.1"),
        measured=f"{tally(judged)} at a factor of {CONSIDERABLY:g} or more"
        + _listed(figures, 2)
        + (
            f". Compiled convolutions of one inverted block: {told}; three mean that every tensor inside is written."
            if told
            else "."
        ),
        figures=tuple(figures),
        verdict=combine(judged),
        limits="Arithmetic over the tensors of one block with its shortcut, at equal multiply-adds, one image, fp32; not "
        "the resident memory of a runtime, which has buffers and weights besides. The bound needs a runtime that runs the "
        "block as one operation.",
    )


def rule_finding(blocks: Sequence[BlockRow], grid: Sequence[BlockRow]) -> Finding:
    """Judge the paper's picture of the two kinds of block by the zoo's own."""
    judged: list[bool | None] = [row.has_shortcut == (row.stride == 1) for row in (*blocks, *grid)]
    rule = all(row.has_shortcut == (row.stride == 1 and row.in_channels == row.out_channels) for row in (*blocks, *grid))
    with_one = sum(row.has_shortcut for row in blocks)
    stride_1 = sum(row.stride == 1 for row in blocks)
    return Finding(
        claim="A block of stride 1 adds its input to its output, and one of stride 2 does not.",
        source=_v2("Figure 4(d)"),
        measured=(
            f"{with_one} of MobileNetV2's {len(blocks)} bottlenecks have a shortcut and {stride_1} have stride 1. "
            f"It takes stride 1 and as many channels out as in: {'so' if rule else 'but not so'} in each of the zoo's blocks."
            if judged
            else "The zoo's blocks were not looked at."
        ),
        figures=(
            Figure(label="bottlenecks", unit="", estimate=counted(len(blocks))),
            Figure(label="with stride 1", unit="", estimate=counted(stride_1)),
            Figure(label="with a shortcut", unit="", estimate=counted(with_one)),
        ) if blocks else (),
        verdict=combine(judged),
        limits="The zoo's modules, built without weights; the paper's Table 2 gives no shortcuts.",
    )  # fmt: skip


def formula_finding(blocks: Sequence[BlockRow]) -> Finding:
    """Judge the printed formula by counting the modules."""
    judged: list[bool | None] = [row.madds == row.madds_formula for row in blocks]
    printed, real = sum(row.madds_formula for row in blocks), sum(row.madds for row in blocks)
    return Finding(
        claim="A block of h x w, expansion t, kernel k, d' channels in and d'' out takes h·w·d'·t·(d' + k² + d'') "
        "multiply-adds.",
        source=_v2("section 3.3"),
        measured=f"exact in {judged.count(True)} of {len(blocks)} bottlenecks, those of stride 1 with an expansion; over "
        "all, the formula "
        f"gives {printed / 1e6:.1f}M and the modules {real / 1e6:.1f}M." if blocks else "the zoo's blocks were not counted.",
        figures=(
            Figure(label="bottlenecks where it is exact", unit="", estimate=counted(judged.count(True))),
            Figure(label="all bottlenecks by the formula", unit="MAdds", estimate=counted(printed)),
            Figure(label="all bottlenecks counted", unit="MAdds", estimate=counted(real)),
        ) if blocks else (),
        verdict=combine(judged),
        limits="h and w are taken as the input's; with a stride, the depthwise and the projection run on the smaller map, "
        "and a block of t = 1 has no expansion layer.",
    )  # fmt: skip


def layers_per_block(run: Run, compiled: LayersByCase) -> dict[str, float]:
    """Return how many convolutions each runtime compiled an inverted block with an expansion to: the mean, by backend."""
    found: dict[str, list[float]] = {}
    for case in run.plan.cases:
        operator = _inverted_of(case.model)
        if operator is not None and case.id in compiled:
            found.setdefault(case.backend, []).append(convolutions(compiled[case.id]) / operator.copies)
    return {backend: statistics.fmean(numbers) for backend, numbers in found.items()}


def _inverted_of(model: str) -> Operator | None:
    operator = parse(model)
    if operator is None or operator.kind != "inverted" or operator.expansion == 1 or operator.stride > 1:
        return None
    return operator


def _shapes(number: int) -> str:
    return f"{number} shape{'' if number == 1 else 's'}"


def _listed(figures: Sequence[Figure], places: int) -> str:
    return "".join(f"; {figure.label}: {figure.estimate.value:.{places}f}" for figure in figures)


def _figure(label: str, unit: str, estimate: Estimate | None) -> list[Figure]:
    return [] if estimate is None else [Figure(label=label, unit=unit, estimate=estimate)]


def _v2(locator: str) -> Citation:
    return cite("MobileNetV2 paper", locator)
