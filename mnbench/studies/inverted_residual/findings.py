"""What the study `inverted-residual` concludes from a run and its facts. Pure: needs neither torch nor a runtime.

Here stand the findings on what was timed; those that are counted are in `_inverted_residual_counted`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mnbench.catalog import cite
from mnbench.records import Citation, Run
from mnbench.records.study import Conclusion, Facts, Figure, Finding, PlotFile, Table, counted
from mnbench.report.naming import conditions
from mnbench.studies.common.cell_verdicts import combine, family_level, tally, within
from mnbench.studies.common.compiled import LayersByCase, openvino_layers
from mnbench.studies.common.matched_blocks import TOLERANCE
from mnbench.studies.common.operator_slopes import Times, backends_of, limits_of, operators_of
from mnbench.studies.common.shapes import RANGES, Shapes
from mnbench.studies.common.slopes import ratio_of
from mnbench.studies.inverted_residual import cells as block_cells
from mnbench.studies.inverted_residual import plots, rows
from mnbench.studies.inverted_residual.cells import RESIDUAL_KINDS, EqualCost, Shortcut, Swept, shape
from mnbench.studies.inverted_residual.counted import formula_finding, layers_per_block, memory_finding, rule_finding
from mnbench.studies.inverted_residual.rows import BlockRow, MemoryRow

SAME = 1.10
"""Costs that differ by less are called the same: a choice of this study, which no source names."""
CHEAP = 1.05
"""A shortcut that adds less than this to its block costs next to nothing."""


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
    by_madds = [cell for cell in cells if "madds" in cell.equal]
    strict = family_level(slopes.level, len(by_madds))
    judged = [within(ratio_of(cell.per_cost, strict), 1 / SAME, SAME) for cell in by_madds]
    figures, told = [], []
    for backend in backends:
        of_kinds = []
        for kind in RESIDUAL_KINDS:
            mine = [cell for cell in cells if (cell.backend, cell.residual.kind) == (backend, kind)]
            label = f"{backend}: {kind} over inverted"
            shown, others = (
                Shapes(label=label, level=slopes.level, logs={_shape_and_cost(cell): cell.per_cost for cell in some})
                for some in (
                    [cell for cell in mine if "madds" in cell.equal],
                    [cell for cell in mine if "madds" not in cell.equal],
                )
            )
            figures += [*shown.figures(), *others.figures()]
            of_kinds.append(f"{kind} {shown.words()}")
        told.append(f"in {backend} {', '.join(of_kinds)}")
    return Finding(
        claim="A block costs its multiply-adds, h·w·d'·t·(d' + k² + d''): a residual block of as many costs as much as an "
        "inverted one.",
        source=_v2("section 3.3"),
        measured=f"equal within {SAME - 1:.0%}: {tally(judged)}. Time over that of the inverted block of as many "
        f"multiply-adds: {'; '.join(told)}.",
        figures=tuple(figures),
        verdict=combine(judged),
        limits="The paper gives the formula; that equal counts cost equal time is what using it as a cost means. Blocks of "
        "equal weights alone are shown, not judged. Widths are multiples of 8, so that costs are equal within "
        f"{TOLERANCE - 1:.0%}, and the ratios are divided by what is left: of the multiply-adds, where these are "
        "equal. Accuracy is not compared. "
        f"Blocks of stride 2 stand side by side, and the pool behind each is part of its time. {RANGES} {limits_of(slopes)}",
    )


def _shape_and_cost(cell: EqualCost) -> str:
    return f"{shape(cell.block)}, equal {cell.equal_in}"


def expansion_finding(cells: Sequence[Swept], slopes: Times) -> Finding:
    """Judge whether latency follows t as MAdds do."""
    last = [cell for cell in cells if cell.is_last]
    strict = family_level(slopes.level, len(last))
    judged = [
        within(ratio_of(cell.growth, strict), cell.madds_over_first / SAME, cell.madds_over_first * SAME) for cell in last
    ]
    figures, told = [], []
    for ends, by_madds in {_ends(cell): cell.madds_over_first for cell in last}.items():
        of_backends = []
        for backend in dict.fromkeys(cell.backend for cell in last):
            mine = [cell for cell in last if (_ends(cell), cell.backend) == (ends, backend)]
            grown = Shapes(
                label=f"{backend}: growth from {ends}",
                level=slopes.level,
                logs={shape(cell.block): cell.growth for cell in mine},
            )
            figures += grown.figures()
            of_backends.append(f"{grown.words()} in {backend}")
        figures.append(Figure(label=f"by MAdds: growth from {ends}", unit="x", estimate=counted(by_madds)))
        told.append(f". From {ends} multiply-adds grow {by_madds:.2f} times, and time {', '.join(of_backends)}")
    return Finding(
        claim="The cost of a block is proportional to its expansion t.",
        source=_v2("section 3.3"),
        measured=f"within {SAME - 1:.0%} of the MAdds' growth: {tally(judged)}{''.join(told)}.",
        figures=tuple(figures),
        verdict=combine(judged),
        limits="Judged from the smallest expansion above 1 to the largest, on the power law through all. At t = 1 there is no "
        f"expansion layer, and the block costs less than the formula says: plotted, not judged. {RANGES} {limits_of(slopes)}",
    )


def _ends(cell: Swept) -> str:
    return f"t = {cell.first.expansion} to {cell.block.expansion}"


def shortcut_finding(cells: Sequence[Shortcut], backends: Sequence[str], slopes: Times) -> Finding:
    """Judge whether a shortcut costs next to nothing."""
    strict = family_level(slopes.level, len(cells))
    judged = [within(ratio_of(cell.logs, strict), 0.0, CHEAP) for cell in cells]
    over = {
        backend: Shapes(
            label=f"{backend}: with over without shortcut",
            level=slopes.level,
            logs={shape(cell.block): cell.logs for cell in cells if cell.backend == backend},
        )
        for backend in backends
    }
    told = ", ".join(f"{found.words()} in {backend}" for backend, found in over.items())
    return Finding(
        claim="A shortcut adds no multiply-adds to its block, and so next to nothing to its cost.",
        source=_v2("section 3.3"),
        measured=f"at most {CHEAP - 1:.0%} more time: {tally(judged)}. Time with the shortcut over that without: {told}.",
        figures=tuple(figure for found in over.values() for figure in found.figures()),
        verdict=combine(judged),
        limits="The formula counts no additions; that they cost nothing is what using it as a cost means. The paper's "
        f"reason for shortcuts is training, which is not looked at. {RANGES} {limits_of(slopes)}",
    )


def _v2(locator: str) -> Citation:
    return cite("MobileNetV2 paper", locator)
