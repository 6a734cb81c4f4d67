"""The plots of the study `inverted-residual`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Estimate
from mnbench.records.study import counted
from mnbench.report import canvas
from mnbench.studies.common import grouped_bars
from mnbench.studies.common.slopes import ratio_of
from mnbench.studies.inverted_residual.cells import RESIDUAL_KINDS, EqualCost, Swept, latency_ns, shape
from mnbench.studies.inverted_residual.rows import MemoryRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKER_PT = 5.5


def expansion(cells: Sequence[Swept], where: str, level: float) -> Figure:
    """Draw latency against t, a panel a shape, beside what the MAdds say from the smallest t above 1 on."""
    shapes = list(dict.fromkeys(shape(cell.block) for cell in cells))
    style = canvas.styles([cell.backend for cell in cells])
    handles: list[Artist] = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=MARKER_PT, label=look.name) for look in style.values()
    ]
    handles.append(Line2D([], [], color=canvas.GREY, linestyle="--", label="as MAdds grow"))
    page = canvas.Page(
        title="Does a block's latency grow as its expansion does?",
        subtitle=f"Inverted residual block (t times wider inside), slope over chains · {where}",
        caption=(
            (
                f"Bars: {level:.0%} interval over launches. Dashed, in its runtime's colour: the latency of the smallest t "
                "above 1, times the growth of the multiply-adds; at t = 1 there is no expansion layer."
            ),
            "A curve above its dashed line costs more per multiply-add the wider it is; one below, less.",
        ),
        legend=handles,
        width_in=10.0,
        axes_height_in=3.6,
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.2)
    for place, name in enumerate(shapes or ["nothing was measured"]):
        axes = layout.axes(0, place, 1, max(1, len(shapes)))
        canvas.tidy(axes)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("expansion t", fontsize=9)
        axes.set_ylabel("latency of one block (µs)", fontsize=9)
        for look in style.values():
            _draw_swept(axes, [c for c in cells if shape(c.block) == name and c.backend == look.name], look, level)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
    return layout.figure


def _draw_swept(axes: Axes, cells: Sequence[Swept], look: canvas.Style, level: float) -> None:
    found = [(cell.block, one) for cell in cells if (one := latency_ns(cell.lines, level)) is not None]
    if not found:
        return
    t = [block.expansion for block, _ in found]
    values = [one.value / 1e3 for _, one in found]
    bounds = [[(one.value - one.low) / 1e3 for _, one in found], [(one.high - one.value) / 1e3 for _, one in found]]
    axes.errorbar(
        t, values, yerr=bounds, color=look.colour, marker=look.marker, markersize=MARKER_PT, capsize=2.5, linewidth=1.2
    )
    base = [(block, one) for block, one in found if block == cells[0].first]
    if base:
        per_madd = base[0][1].value / cost(base[0][0]).madds
        axes.plot(t, [per_madd * cost(block).madds / 1e3 for block, _ in found], "--", color=look.colour, linewidth=1.0)


def equal_cost(cells: Sequence[EqualCost], where: str, level: float) -> Figure:
    """Draw the ratios residual over inverted at equal cost, a group of bars a shape, a panel a runtime."""
    backends = list(dict.fromkeys(cell.backend for cell in cells))
    shown = {
        (kind, equal): f"{'depthwise' if kind == 'residual-depthwise' else 'standard 3x3'} inside"
        + ("" if equal == "madds" else ", equal weights")
        for equal in ("madds", "params")
        for kind in RESIDUAL_KINDS
        if not cells or any((cell.residual.kind, cell.equal[0]) == (kind, equal) for cell in cells)
    }
    looks = {
        name: (canvas.COLOURS[0 if key[0] == "residual-depthwise" else 1], grouped_bars.HATCHES[key[1] == "params"])
        for key, name in shown.items()
    }
    page = canvas.Page(
        title="Residual against inverted residual block at equal cost: which takes longer?",
        subtitle=f"Latency of the residual block (wide, narrow, wide) per multiply-add over that of the inverted one · {where}",
        caption=(
            (
                f"Below 1 the residual block is faster. Bars: {level:.0%} interval of the ratio, paired by launch. Blocks have "
                "equal multiply-adds, and at stride 1 equal weights, too; where at stride 2 another block has equal weights, "
                "it is hatched (per weight)."
            ),
            (
                "Inverted blocks are MobileNetV2's (t = 6); residual ones are reduced by about 6 (depthwise inside) or 4 "
                "(standard inside)."
            ),
        ),
        legend=[*grouped_bars.legend(looks), Line2D([], [], color=canvas.GREY, linestyle="--", label="equal time")],
        width_in=10.0,
        axes_height_in=2.5 * max(1, len(backends)) + 0.7 * (max(1, len(backends)) - 1),
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.2, axis_in=0.6)
    groups = {_group(cell.block): cell.block for cell in cells}
    panels = []
    for place, backend in enumerate(backends or ["nothing was measured"]):
        axes = layout.axes(place, 0, max(1, len(backends)), 1, gap_in=0.7)
        bars: dict[str, dict[str, Estimate]] = {}
        for key, name in shown.items():
            mine = [c for c in cells if c.backend == backend and (c.residual.kind, c.equal[0]) == key]
            bars[name] = {_group(c.block): one for c in mine if (one := ratio_of(c.per_cost, level)) is not None}
        grouped_bars.grouped(axes, list(groups), bars, looks)
        axes.axhline(1.0, color=canvas.GREY, linestyle="--", linewidth=1.0)
        axes.set_title(backend, fontsize=9, loc="left")
        axes.set_ylabel("residual over inverted (x)", fontsize=9)
        panels.append(axes)
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:  # one scale, so that runtimes can be compared by eye
        axes.set_ylim(0, 1.08 * top)
    return layout.figure


def _group(block: Operator) -> str:
    return shape(block).replace(" to ", "\nto ")


def memory(rows: Sequence[MemoryRow]) -> Figure:
    """Draw the activations alive at once, as every tensor is written and as the paper's bound has it."""
    names = {
        "inverted": "inverted",
        "residual-depthwise": "residual, depthwise inside",
        "residual": "residual, standard inside",
    }
    colours = dict(zip(names, (canvas.COLOURS[2], canvas.COLOURS[0], canvas.COLOURS[1]), strict=True))
    looks = {name: (colours[kind], "") for kind, name in names.items()}
    page = canvas.Page(
        title="Does the inverted block need less memory for activations?",
        subtitle="Activations of one block alive at once, one image, fp32, equal multiply-adds, with the shortcut kept "
        "alive (arithmetic)",
        caption=(
            (
                "Left: every layer writes its whole output before the next starts. Right: the bound of the MobileNetV2 paper's "
                "section 5.1, in which what lies between the outer 1x1 convolutions is computed a channel at a time."
            ),
        ),
        legend=grouped_bars.legend(looks),
        width_in=10.0,
        axes_height_in=3.2,
        head_in=0.25,
    )
    layout = canvas.lay_out(page, left_in=0.75, right_in=0.2)
    shapes = list(dict.fromkeys(row.shape for row in rows))
    top = max((row.materialised_bytes for row in rows), default=1 << 20) / 1024
    for place, (title, field) in enumerate(
        (("every tensor written", "materialised_bytes"), ("bound of section 5.1", "bound_bytes"))
    ):
        axes = layout.axes(0, place, 1, 2)
        bars = {
            name: {row.shape: counted(getattr(row, field) / 1024) for row in rows if row.kind == kind}
            for kind, name in names.items()
        }
        grouped_bars.grouped(axes, shapes, bars, looks)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylabel("memory (KiB)", fontsize=9)
        axes.set_ylim(0, top * 1.1)
        axes.tick_params(axis="x", labelsize=7)
    return layout.figure
