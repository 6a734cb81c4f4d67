"""The rows of threads-batch, and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnbench.records import Estimate, Run
from mnbench.report import panels
from mnbench.report.naming import conditions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

V1, V2 = "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224"
NETWORKS = {V1: "MobileNetV1", V2: "MobileNetV2"}
PAPER_RATIO = 75 / 113
"""MobileNetV2 over V1 in the paper's Table 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRow:
    """One network under one condition; empty where it was not measured."""

    network: str
    backend: str
    threads: int
    batch: int
    latency_ms: Estimate | None
    """Of the whole batch."""
    images_per_s: Estimate | None
    batch_gain: Estimate | None
    """Images per second over those of batch 1, other things equal; paired by launch, as the next."""
    thread_speedup: Estimate | None
    """Latency with one thread over this latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingRow:
    """MobileNetV2 against V1 under one condition."""

    backend: str
    threads: int
    batch: int
    v2_over_v1: Estimate | None
    v2_is: str
    """`faster`, `slower` or `undecided`, after Holm's correction over all rows."""


def ranking_plot(run: Run, ranking: Sequence[RankingRow]) -> Figure:
    """Draw V2 over V1 against the batch, a line per number of threads."""
    shown = []
    for backend in dict.fromkeys(row.backend for row in ranking):
        series = []
        for threads in dict.fromkeys(row.threads for row in ranking if row.backend == backend):
            line = sorted((r for r in ranking if (r.backend, r.threads) == (backend, threads)), key=lambda row: row.batch)
            marks = [
                panels.at(row.batch, row.v2_over_v1, hollow=row.v2_is == "undecided")
                for row in line
                if row.v2_over_v1 is not None
            ]
            series.append(panels.Series(name=f"{threads} thread{'s' if threads != 1 else ''}", marks=marks))
        shown.append(
            panels.Panel(
                title=backend, series=series, x_label="batch (images)", y_label="latency of MobileNetV2 over V1",
                x_names=_batch_names(run), y_log=False, lines={"as fast": 1.0, "the paper's 75/113": PAPER_RATIO},
            )
        )  # fmt: skip
    return panels.draw(
        "Is MobileNetV2 faster than V1 whatever the batch and the number of cores?",
        conditions(run),
        [f"Below 1, MobileNetV2 is faster. Bars: {run.plan.level:.0%} interval of the ratio, paired by launch."],
        shown,
        notes={"hollow": "hollow: not decided (Holm)"},
    )


def throughput_plot(run: Run, scaling: Sequence[ScalingRow]) -> Figure:
    """Draw images per second against the batch."""
    shown = []
    for backend in dict.fromkeys(row.backend for row in scaling):
        mine = [row for row in scaling if row.backend == backend]
        series = []
        for network, threads in dict.fromkeys((row.network, row.threads) for row in mine):
            line = sorted((r for r in mine if (r.network, r.threads) == (network, threads)), key=lambda row: row.batch)
            name = f"{NETWORKS[network]}, {threads} thread{'s' if threads != 1 else ''}"
            series.append(
                panels.Series(
                    name=name, marks=[panels.at(row.batch, row.images_per_s) for row in line if row.images_per_s is not None]
                )
            )
        shown.append(
            panels.Panel(
                title=backend, series=series, x_label="batch (images)", y_label="images per second",
                x_names=_batch_names(run), y_log=False, y_from_zero=True,
            )
        )  # fmt: skip
    return panels.draw(
        "What do larger batches and more cores gain?",
        conditions(run),
        [f"Bars: {run.plan.level:.0%} interval over launches. The cost in multiply-adds per image is the same at every batch."],
        shown,
    )


def _batch_names(run: Run) -> dict[float, str]:
    return {float(batch): str(batch) for batch in sorted({case.batch for case in run.plan.cases if case.model in NETWORKS})}
