"""Depthwise + pointwise against standard convolution: does the time fall as the multiply-adds do?

MobileNetV1 paper, section 3.1: 1/N + 1/DK² of the computation. Operators are timed as slopes over chains of copies, in which
the call and the graph's edges cancel. A network checks that: the layers of MobileNetV1 added up must give its latency. The
check is of the sum, most of which pointwise layers are, and says little of the others. Graphs of one operator stand beside it,
since that is what people measure.
"""

from __future__ import annotations

from mnbench.records import Plan, Run
from mnbench.records.study import Conclusion, Facts, PlotFile, StudyOptions, Table
from mnbench.studies import Study
from mnbench.studies.common.operator_slopes import Times
from mnbench.studies.common.planning import sweep_plan, usable_memory_bytes
from mnbench.studies.separable.findings import (
    proof_finding,
    singles_finding,
    table_3_gains_finding,
    table_3_steps_finding,
)
from mnbench.studies.separable.formula import formula_finding
from mnbench.studies.separable.grid import NETWORK, plan_cases
from mnbench.studies.separable.layers import LayerRow, layer_rows
from mnbench.studies.separable.plots import heat_map, in_sweep, layers, line_over_n
from mnbench.studies.separable.rows import OperatorRow, operator_rows
from mnbench.studies.separable.speedups import SpeedupRow, Table3Row, speedup_rows, table_3_rows

BUDGET_S, QUICK_BUDGET_S = 950.0, 62.0
"""Quick: with 25 s of export and the conclusion it ends within 90 s."""
SETTLE_MS, QUICK_SETTLE_MS = 15.0, 5.0
"""A chain is steady after its second inference, as its own caches are all that has to settle."""
ROUND_MS, QUICK_ROUND_MS = 40.0, 20.0
"""Short: launches are what an interval is computed over, and another one is worth more than a longer round."""


def plan(options: StudyOptions) -> Plan:
    """Return the sweep. What needs more memory than the machine has is left out, and named. Raises as `sweep_plan` does."""
    cases = plan_cases(options.backends, quick=options.quick, memory_bytes=usable_memory_bytes(), skipped=options.skipped)
    return sweep_plan(
        cases,
        options,
        budget_s=QUICK_BUDGET_S if options.quick else BUDGET_S,
        baseline=NETWORK,
        round_ms=QUICK_ROUND_MS if options.quick else ROUND_MS,
        settle_ms=QUICK_SETTLE_MS if options.quick else SETTLE_MS,
    )


def operator_times(run: Run) -> Times:
    """Return the operators' times, what stands behind copies side by side subtracted."""
    return Times(run, subtracts_tails=True)


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Return the findings, tables and plots of what was measured."""
    found = operator_times(run)
    operators, speedups, v1 = operator_rows(found, run), speedup_rows(found), layer_rows(found)
    findings = (
        formula_finding(found, operators),
        table_3_steps_finding(found),
        table_3_gains_finding(found),
        proof_finding(found),
        singles_finding(found),
    )
    tables = (
        Table(name="v1_layers", caption="Layers of MobileNetV1: slopes, graphs of one operator.", kind=LayerRow, rows=v1),
        Table(name="table_3", caption="Table 3 of the V1 paper, row by row.", kind=Table3Row, rows=table_3_rows(found)),
        Table(name="speedups", caption="Standard over separable, per shape.", kind=SpeedupRow, rows=speedups),
        Table(name="operators", caption="Every operator in every runtime.", kind=OperatorRow, rows=operators),
    )
    plots = [
        PlotFile(
            name="speedup-share",
            caption="Measured speed-up of separable convolutions, in per cent of what the multiply-adds promise.",
            draw=lambda: heat_map(run, speedups, found.backends),
        ),
        PlotFile(
            name="v1-layers",
            caption="Each layer of MobileNetV1 as a slope over chains, and as a graph of its own.",
            draw=lambda: layers(run, v1, found.backends),
        ),
    ]
    if any(in_sweep(row) for row in speedups):
        over_n = PlotFile(
            name="speedup-over-n",
            caption="Speed-up against the number of output channels, beside the formula.",
            draw=lambda: line_over_n(run, speedups, found.backends),
        )
        plots.insert(1, over_n)
    return Conclusion(findings=findings, tables=tables, plots=tuple(plots))


STUDY = Study(
    name="separable",
    question="Standard against depthwise + pointwise convolution: does the time fall as the multiply-adds do?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
