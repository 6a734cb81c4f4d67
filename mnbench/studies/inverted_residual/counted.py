"""What the study `inverted-residual` concludes by counting alone: memory, the shortcut's rule, the printed formula. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from mnbench.catalog import cite
from mnbench.catalog.operators import Operator, parse
from mnbench.records import Citation, Run
from mnbench.records.study import Figure, Finding, counted
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.compiled import LayersByCase, convolutions
from mnbench.studies.inverted_residual.rows import BlockRow, MemoryRow

CONSIDERABLY = 1.5
"""The paper gives no figure for "considerably"."""
LAYERS_OF_A_BLOCK = 3
"""Expansion, depthwise, projection: so many compiled convolutions mean that every tensor inside a block is written."""


def memory_finding(found: Sequence[MemoryRow], per_block: Mapping[str, float]) -> Finding:
    """Judge whether the inverted design needs considerably less memory: by arithmetic, both ways of counting.

    `per_block`: how many convolutions each runtime compiled one inverted block to.
    """
    residual = [row for row in found if row.kind != "inverted"]
    written = [row.materialised_over_inverted for row in residual]
    bound = [row.bound_over_inverted for row in residual]
    figures = []
    for kind in dict.fromkeys(row.kind for row in residual):
        for name, ratios in (("every tensor written", written), ("bound of section 5.1", bound)):
            mine = [ratio for row, ratio in zip(residual, ratios, strict=True) if row.kind == kind]
            figures += [
                Figure(label=f"{kind} over inverted, {name}, {end}", unit="x", estimate=counted(pick(mine)))
                for end, pick in (("least", min), ("most", max))
            ]
    return Finding(
        claim="The inverted design is considerably more memory efficient than the residual one.",
        source=_v2("section 3.3 and section 5.1"),
        measured=f"the residual block takes at least {CONSIDERABLY:g} times the inverted one's memory in {_share(written)} "
        f"when every tensor inside a block is written, and in {_share(bound)} by the paper's bound, which writes none. "
        f"{_compiled(per_block)}".rstrip()
        if residual
        else "no block was planned.",
        figures=tuple(figures),
        verdict=combine([ratio >= CONSIDERABLY for ratio in (*written, *bound)]),
        limits="Judged are both ways of counting, each shape and kind of block. Arithmetic over the tensors of one block with "
        "its shortcut, at equal multiply-adds, one image, fp32; not the resident memory of a runtime, which has buffers and "
        "weights besides. The bound needs a runtime that runs the block as one operation.",
    )


def _share(ratios: Sequence[float]) -> str:
    """Return `0 of 4 pairs (0.54 to 1.15 times)`."""
    enough = sum(ratio >= CONSIDERABLY for ratio in ratios)
    return f"{enough} of {len(ratios)} pairs ({min(ratios):.2f} to {max(ratios):.2f} times)"


def _compiled(per_block: Mapping[str, float]) -> str:
    """Say which way of counting is that of the runtimes."""
    if not per_block:
        return ""
    told = ", ".join(f"{number:g} in {backend}" for backend, number in per_block.items())
    text = f"Compiled convolutions of one inverted block: {told}"
    if min(per_block.values()) >= LAYERS_OF_A_BLOCK:
        return f"{text}; so every tensor inside is written here, and the first way of counting is that of these runtimes."
    return f"{text}; three would mean that every tensor inside is written."


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


def _v2(locator: str) -> Citation:
    return cite("MobileNetV2 paper", locator)
