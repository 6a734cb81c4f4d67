"""The rows of width-resolution, and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnbench.records import Estimate, Run
from mnbench.report import panels
from mnbench.report.naming import conditions
from mnbench.studies.width_resolution.pareto import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAMILIES = {"mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2"}
CLAIMED = 2.0
"""Cost falls with the square of width and of resolution."""
FRONT_CAPTION = "Latency here against the published accuracy of the released checkpoints."
STEPS_CAPTION = (
    "The exponent between two neighbouring sizes: 2 where time falls with the square of the size, 0 where it does not fall."
)
PIXEL_CAPTION = "Latency here against the milliseconds published for the same checkpoints on one large core of a Pixel 1."


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One network in one backend; empty where it was not measured."""

    network: str
    family: str
    width: float
    resolution: int
    backend: str
    madds: int | None
    top1_pct: float | None
    """Of the released checkpoint; not measured here."""
    latency_ms: Estimate | None
    pixel1_ms: float | None
    place: str
    """On the Pareto front, off it, or undecided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of width at one resolution, or of resolution at one width, in one backend."""

    family: str
    backend: str
    along: str
    """`width` or `resolution`: what changes."""
    at: float
    """The other one, which stays."""
    larger: float
    smaller: float
    madds_exponent: float | None
    """log(MAdds ratio) / log(size ratio): counted."""
    time_exponent: Estimate | None
    """The same of latency; 2 follows the claim, 0 gains nothing."""


def front_plot(run: Run, points: Sequence[Point]) -> Figure:
    """Draw latency against accuracy, with what is on the front."""
    shown = []
    for backend in dict.fromkeys(point.backend for point in points):
        series = [
            panels.Series(
                name=FAMILIES[family],
                marks=[mark for p in points if (p.backend, p.family) == (backend, family) and (mark := _front_mark(p))],
                joined=False,
            )
            for family in FAMILIES
        ]
        shown.append(
            panels.Panel(
                title=backend,
                series=series,
                x_label="latency of one inference (ms)",
                y_label="top-1 accuracy, published (%)",
                y_log=False,
            )
        )
    return panels.draw(
        "Which widths and resolutions give the most accuracy for their time?",
        conditions(run),
        [
            f"Bars: {run.plan.level:.0%} interval over launches. Labelled (width, resolution): on the front.",
            "On the front: every network at least as accurate is slower beyond doubt (Holm, all pairs of a backend).",
            "Accuracy is published, not measured here: TF-slim's released checkpoints.",
        ],
        shown,
        panel_height_in=5.0,
        notes={"hollow": "hollow: not decided", "faint": "faint: off the front"},
    )


def _front_mark(point: Point) -> panels.Mark | None:
    if point.latency_ms is None or point.top1_pct is None:
        return None
    return panels.Mark(
        x=point.latency_ms.value,
        y=point.top1_pct,
        x_interval=(point.latency_ms.low, point.latency_ms.high),
        label=f"{point.width:g}, {point.resolution}" if point.place == Place.ON else "",
        hollow=point.place == Place.UNDECIDED,
        faint=point.place == Place.OFF,
    )


def steps_plot(run: Run, steps: Sequence[StepRow]) -> Figure:
    """Draw the exponent of every step at resolution 224, and at width 1, with that of the multiply-adds."""
    shown = [
        _steps_panel([s for s in steps if (s.family, s.along, s.at) == (family, along, fixed)], f"{name}: {along}, at {at}")
        for along, fixed, at in (("width", 224.0, "resolution 224"), ("resolution", 1.0, "width 1"))
        for family, name in FAMILIES.items()
    ]
    return panels.draw(
        "Does time fall with the square of width and of resolution?",
        conditions(run),
        [STEPS_CAPTION, f"Bars: {run.plan.level:.0%} interval over launches, paired within each launch."],
        shown,
        panel_height_in=2.8,
    )


def _steps_panel(steps: Sequence[StepRow], title: str) -> panels.Panel:
    """Return one family's steps along one size, the backends beside each other."""
    names = [f"{step.larger:g}→{step.smaller:g}" for step in steps]
    places = {name: float(place) for place, name in enumerate(dict.fromkeys(names))}
    backends = list(dict.fromkeys(step.backend for step in steps))
    madds = {places[name]: step.madds_exponent for name, step in zip(names, steps, strict=True) if step.madds_exponent}
    series = [
        panels.Series(
            name=f"time in {backend}",
            marks=[
                panels.at(places[name] + 0.08 * (backends.index(backend) - (len(backends) - 1) / 2), step.time_exponent)
                for name, step in zip(names, steps, strict=True)
                if step.backend == backend and step.time_exponent is not None
            ],
        )
        for backend in backends
    ]
    counted = panels.Series(
        name="multiply-adds, counted", marks=[panels.Mark(x=x, y=y) for x, y in madds.items()], reference=True
    )
    return panels.Panel(
        title=title, series=[*series, counted], x_label="step", y_label="exponent of latency", x_log=False, y_log=False,
        x_names={place: name for name, place in places.items()}, lines={"the square": CLAIMED}, y_from_zero=True,
    )  # fmt: skip


def pixel_plot(run: Run, points: Sequence[Point]) -> Figure:
    """Draw latency here against the phone's."""
    shown = []
    for backend in dict.fromkeys(point.backend for point in points):
        mine = [p for p in points if p.backend == backend and p.pixel1_ms is not None and p.latency_ms is not None]
        series = []
        for resolution in sorted({point.resolution for point in mine}, reverse=True):
            marks = [
                panels.at(p.pixel1_ms, p.latency_ms)
                for p in sorted(mine, key=lambda p: p.width)
                if p.resolution == resolution and p.pixel1_ms is not None and p.latency_ms is not None
            ]
            series.append(panels.Series(name=f"resolution {resolution}", marks=marks))
        reference = next((p for p in mine if (p.width, p.resolution) == (1.0, 224)), None)
        if reference and reference.pixel1_ms and reference.latency_ms:
            factor = reference.latency_ms.value / reference.pixel1_ms
            ends = [p.pixel1_ms for p in mine if p.pixel1_ms is not None]
            line = [panels.Mark(x=x, y=x * factor) for x in (min(ends), max(ends))]
            series.append(panels.Series(name="in proportion to V2 1.0 224", marks=line, reference=True))
        shown.append(
            panels.Panel(
                title=backend, series=series, x_label="latency on a Pixel 1, published (ms)", y_label="latency here (ms)"
            )
        )
    return panels.draw(
        "Do a phone's latencies of MobileNetV2 carry over to this CPU?",
        conditions(run),
        [
            f"Bars: {run.plan.level:.0%} interval over launches. Lines join the widths of one resolution.",
            "Pixel 1: the milliseconds in TF-slim's table of released checkpoints.",
        ],
        shown,
        panel_height_in=4.4,
    )
