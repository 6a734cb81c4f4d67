"""Why the narrow layers are linear, and what it saves: MobileNetV2 paper, section 3.2 and Figure 1.

Two halves. Arithmetic: how much of a flat curve survives a rectifier in n dimensions (`manifold`), which needs no runtime
and is computed when the study concludes. Time: what the last activation costs, by slopes over chains of 1x1
convolutions that differ in nothing but their activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mnbench.catalog.operators import Operator
from mnbench.records import Plan, Run
from mnbench.records.study import Facts, StudyOptions
from mnbench.studies import Study
from mnbench.studies.common.compiled import ort_layers
from mnbench.studies.common.operator_slopes import chain_cases
from mnbench.studies.common.planning import sweep_plan
from mnbench.studies.linear_bottleneck.costs import ACTIVATION_OF_KIND
from mnbench.studies.linear_bottleneck.findings import conclude

SHAPES = ((56, 24), (14, 96), (7, 320))
"""(resolution, channels) of narrow layers of the paper's Table 2. Channels stay, so that the layers can be chained."""
COPIES = (4, 24)
BUDGET_S, QUICK_BUDGET_S = 200.0, 40.0


def plan(options: StudyOptions) -> Plan:
    """Return a sweep over chains of 1x1 convolutions with each activation. Raises as `sweep_plan` does."""
    planned = list(operators())
    cases = chain_cases(planned, options.backends, COPIES)
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    return sweep_plan(cases, options, budget_s=budget_s, baseline=replace(planned[0], copies=COPIES[0]).name, round_ms=40.0)


def operators() -> Iterator[Operator]:
    """Yield the layers to time, those that differ in nothing but their activation side by side."""
    for resolution, channels in SHAPES:
        for kind in ACTIVATION_OF_KIND:
            yield Operator(kind=kind, resolution=resolution, in_channels=channels, out_channels=channels)


def facts(run: Run, options: StudyOptions) -> Facts:
    """Return what ONNX Runtime made of the chains: a chain without activations could be merged into one layer."""
    return {"ort_layers": ort_layers(run, options.cache, [case.model for case in run.plan.cases])}


STUDY = Study(
    name="linear-bottleneck",
    question="What does a rectifier destroy in n dimensions, and what does the last activation of a block cost?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
    facts=facts,
)
