"""What the study `linear-bottleneck` concludes. Pure: the spiral is arithmetic, the times come from the run."""

from __future__ import annotations

from mnbench.records import Run
from mnbench.records.study import Conclusion, Facts, PlotFile, Table
from mnbench.report.naming import conditions
from mnbench.studies.common.compiled import LayersByCase, openvino_layers
from mnbench.studies.common.operator_slopes import Times, backends_of, operators_of
from mnbench.studies.linear_bottleneck import plots
from mnbench.studies.linear_bottleneck.costs import (
    ACTIVATION_OF_KIND,
    CostRow,
    activation_costs,
    cost_finding,
    cost_row,
    per_copy,
)
from mnbench.studies.linear_bottleneck.spiral import (
    ACTIVATIONS,
    EMBEDDINGS,
    SurvivalRow,
    lost_finding,
    survival,
    survival_row,
    survives_finding,
)


def conclude(run: Run, facts: Facts) -> Conclusion:
    """Return the findings, tables and plots of whatever part of the plan was measured."""
    level, seed, where = run.plan.level, run.plan.seed, conditions(run)
    survivals = survival(level, seed)
    slopes, backends = Times(run), backends_of(run)
    compiled: LayersByCase = {**facts.get("ort_layers", {}), **openvino_layers(run)}
    layers = per_copy(run, compiled)
    costs = activation_costs(slopes, operators_of(run), backends, layers)
    return Conclusion(
        findings=(
            lost_finding(survivals),
            survives_finding(survivals),
            cost_finding(costs, ("pointwise-relu", "pointwise"), backends, slopes, layers),
            cost_finding(costs, ("pointwise-hardswish",), backends, slopes, layers),
        ),
        tables=(
            Table(name="information", kind=SurvivalRow, rows=[survival_row(one) for one in survivals],
                  caption="What a rectifier leaves of a spiral in n dimensions: means over random embeddings, with intervals."),
            Table(name="activation-cost", kind=CostRow, rows=[cost_row(one, layers, level) for one in costs],
                  caption="One 1x1 convolution with each activation, and its time over that of the linear one."),
        ),
        plots=(
            PlotFile(name="spiral", caption="The paper's Figure 1 drawn again: what ReLU and ReLU6 leave of a spiral.",
                     draw=lambda: plots.spirals((ACTIVATIONS[0], ACTIVATIONS[2]), seed)),
            PlotFile(name="information-against-dimension", caption="What is lost, by the number of dimensions, with intervals.",
                     draw=lambda: plots.information(survivals, EMBEDDINGS)),
            PlotFile(name="activation-cost", caption="What the last activation costs in each runtime.",
                     draw=lambda: plots.costs(costs, backends, ACTIVATION_OF_KIND, where, level)),
        ),
    )  # fmt: skip
