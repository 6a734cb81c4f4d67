"""Residual against inverted residual blocks, expansion and shortcut: MobileNetV2 paper, section 3.3 and Table 1.

    inverted             narrow n → 6n → n, depthwise inside          MobileNetV2's block
    residual-depthwise   wide W → W/6 → W, depthwise inside           the same turned inside out
    residual             wide W → W/4 → W, standard 3x3 inside        ResNet's bottleneck, to its left in the paper's Figure 3

Shapes are those of the paper's Table 2; the wide widths are solved for as many MAdds, or weights, in multiples of 8. At stride
1 MAdds are weights times the map's size, so that blocks of equal MAdds have equal weights as well; at stride 2 the two part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mnbench.catalog.operators import Operator
from mnbench.records import Plan, Run
from mnbench.records.study import Facts, StudyOptions
from mnbench.studies import Study
from mnbench.studies.common.compiled import ort_layers
from mnbench.studies.common.matched_blocks import EXPANSION, inverted, matched
from mnbench.studies.common.operator_slopes import chain_cases, operators_of
from mnbench.studies.common.planning import sweep_plan
from mnbench.studies.inverted_residual.findings import conclude

SHAPES = ((56, 24), (28, 32), (14, 64), (14, 96), (7, 160))
"""(resolution, channels) of the bottlenecks of Table 2 that repeat with stride 1."""
STRIDED = ((28, 32, 64), (14, 96, 160))
"""(resolution, channels in, channels out) of two that halve the map."""
SWEPT = ((56, 24), (14, 64))
"""Where the expansion goes from 1 to 10."""
QUICK_SHAPES, QUICK_STRIDED = ((56, 24), (14, 64)), ((14, 96, 160),)
EXPANSIONS, QUICK_EXPANSIONS = tuple(range(1, 11)), (1, 2, 6, 10)
COPIES = (2, 8)
BUDGET_S, QUICK_BUDGET_S = 500.0, 62.0
"""Some 20 launches of 94 chains in two backends: with six, most cells stayed undecided. Quick: 90 s with the export."""


def plan(options: StudyOptions) -> Plan:
    """Return a sweep over chains of the blocks. Raises as `sweep_plan` does."""
    cases = chain_cases(operators(quick=options.quick), options.backends, COPIES)
    baseline = replace(inverted(*QUICK_SHAPES[0]), copies=COPIES[0]).name
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    return sweep_plan(cases, options, budget_s=budget_s, baseline=baseline, round_ms=40.0)


def operators(*, quick: bool) -> Iterator[Operator]:
    """Yield the blocks to time, those to be compared side by side."""
    for resolution, channels in QUICK_SHAPES if quick else SHAPES:
        block = inverted(resolution, channels)
        yield block
        yield replace(block, shortcut=0)
        yield matched(block, "residual-depthwise", "madds")
        yield matched(block, "residual", "madds")
    for resolution, channels, out_channels in QUICK_STRIDED if quick else STRIDED:
        block = inverted(resolution, channels, out_channels=out_channels, stride=2)
        yield block
        for kind in ("residual-depthwise", "residual"):
            yield matched(block, kind, "madds")
            yield matched(block, kind, "params")
    for resolution, channels in SWEPT:
        for expansion in QUICK_EXPANSIONS if quick else EXPANSIONS:
            yield inverted(resolution, channels, expansion=expansion)


def facts(run: Run, options: StudyOptions) -> Facts:
    """Return the blocks of the zoo (stride, channels, shortcut, MAdds), and what ONNX Runtime made of the chains."""
    from mnbench.studies.common.zoo_blocks import grid_blocks, network_blocks

    timed = [replace(operator, copies=COPIES[0]).name for operator in operators_of(run) if operator.stride == 1]
    return {
        "network": network_blocks("mobilenet_v2_1.0_224"),
        "grid": grid_blocks(resolution=56, channels=24, other_channels=32, expansion=EXPANSION),
        "ort_layers": ort_layers(run, options.cache, timed),
    }


STUDY = Study(
    name="inverted-residual",
    question="Residual or inverted residual block, how much expansion, shortcut or not: what do time and memory say?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
    facts=facts,
)
