"""What the processes of the memory study held, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mnbench.records import Case, Estimate, Run
from mnbench.report import panels
from mnbench.report.naming import conditions
from mnbench.stats.intervals import arithmetic_mean
from mnbench.studies.common import readings
from mnbench.studies.memory.table import IN_PARTS, KB, NETWORKS, RESOLUTIONS, WHOLE, Kept, KeptRow, largest_kb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOAT_BYTES, MIB = 4, 1 << 20
"""Runtimes here compute in 32-bit floats."""
Readings = dict[int, float]
"""Bytes by launch."""


def held(run: Run, case: Case) -> Readings:
    """Return what the processes of a case held above their imported runtime, by launch."""
    found = [memory for memory in run.memory if memory.case == case]
    return {memory.launch: float(memory.above_runtime_bytes) for memory in found}


def per_image(run: Run, backend: str, model: str) -> Readings:
    """Return what one more image adds, by launch: between the two largest batches planned, both above 1."""
    batches = sorted({case.batch for case in run.plan.cases if case.batch > 1})[-2:]
    if len(batches) < 2:
        return {}
    few, many = (held(run, Case(model=model, backend=backend, batch=batch)) for batch in batches)
    return {launch: (many[launch] - few[launch]) / (batches[1] - batches[0]) for launch in sorted(few.keys() & many.keys())}


METHOD = "mean over processes, Student t"


def mean_mib(values: Readings, level: float) -> Estimate | None:
    """Return the mean over processes in MiB; None below three."""
    return arithmetic_mean([value / MIB for value in values.values()], level, METHOD)


def whole_kb(run: Run) -> dict[str, float]:
    """Return the size of the largest output of any layer, in 32 bits."""
    outputs = {known.model: [layer.output_elements for layer in known.layers] for known in run.facts if known.layers}
    return {model: FLOAT_BYTES * max(outputs[model]) / KB for model in NETWORKS if model in outputs}


def kept_plot(run: Run, rows: Sequence[KeptRow]) -> Figure:
    """Draw what must be kept at each resolution, counted and printed."""
    places = {f"{resolution}x{resolution}": float(place) for place, resolution in enumerate(RESOLUTIONS)}
    shown = []
    everything = [size for row in rows for size in (row.counted_kb, row.first_whole_kb, row.printed_kb) if size]
    for model in NETWORKS:
        mine = [row for row in rows if row.network == model and row.resolution in places]
        count = [panels.Mark(x=places[r.resolution], y=r.counted_kb) for r in mine if r.counted_kb]
        whole = [
            panels.Mark(x=places[r.resolution], y=r.first_whole_kb)
            for r in mine
            if r.first_whole_kb and r.first_whole_kb != r.counted_kb
        ]
        printed = [panels.Mark(x=places[r.resolution], y=r.printed_kb, hollow=True) for r in mine]
        shown.append(
            panels.Panel(
                title=NETWORKS[model],
                series=[
                    panels.Series(name=f"counted from the modules, {IN_PARTS}", marks=count),
                    panels.Series(name="printed (arXiv v4)", marks=printed, joined=False),
                    panels.Series(name=f"counted, {WHOLE}, where that is another figure", marks=whole, joined=False),
                ],
                x_label="resolution (pixels a side)",
                y_label="kept at once (Kb, 16-bit floats)",
                x_log=False,
                x_names={place: name.partition("x")[0] for name, place in places.items()},
                y_also=everything,
            )
        )
    return panels.draw(
        "How much must be kept at each resolution?",
        "Counted for one image of 224x224; the machine plays no part.",
        [
            "The paper's rule: MobileNetV2's narrow tensors, ShuffleNet's tensors between units, every output of MobileNetV1.",
            "Triangles: with the first layer's output, which the table's caption lets be computed in parts.",
        ],
        shown,
        columns=3,
        panel_height_in=3.2,
    )


def peak_plot(run: Run, kept: Mapping[str, Kept]) -> Figure:
    """Draw measured memory: of a process, and of one more image."""
    places = {model: float(place) for place, model in enumerate(NETWORKS)}
    names = {place: NETWORKS[model] for model, place in places.items()}
    backends = readings.backends_of(run.plan.cases)
    level = run.plan.level
    peak, image = [], []
    for place, backend in enumerate(backends):
        shift = 0.12 * (place - (len(backends) - 1) / 2)
        means = {m: mean_mib(held(run, Case(model=m, backend=backend)), level) for m in NETWORKS}
        peak.append(panels.Series(name=backend, joined=False, marks=_marks(means, places, shift)))
        grown = {m: mean_mib(per_image(run, backend, m), level) for m in NETWORKS}
        image.append(panels.Series(name=backend, joined=False, marks=_marks(grown, places, shift)))
    largest = {model: largest_kb(kept[model].in_parts, FLOAT_BYTES) for model in NETWORKS}
    rule = [panels.Mark(x=places[m], y=kb * KB / MIB, hollow=True) for m, kb in largest.items() if kb is not None]
    whole = [panels.Mark(x=places[m], y=kb * KB / MIB, hollow=True) for m, kb in whole_kb(run).items()]
    image.append(panels.Series(name="largest tensor, paper's rule", joined=False, marks=rule))
    image.append(panels.Series(name="largest tensor of any layer", joined=False, marks=whole))
    axes = {"x_label": "", "x_log": False, "y_log": False, "y_from_zero": True}
    shown = [
        panels.Panel(title="one image", series=peak, y_label="peak memory above the runtime's (MiB)", x_names=names, **axes),  # type: ignore[arg-type]
        panels.Panel(title="each further image", series=image, y_label="memory of one more image (MiB)", x_names=names, **axes),  # type: ignore[arg-type]
    ]
    return panels.draw(
        "Which network takes least memory?",
        conditions(run),
        [
            f"Bars: {level:.0%} interval over processes; most are smaller than the marker. Left: weights and loading included.",
            f"Hollow: counted, in 32-bit floats; the paper's rule with the {IN_PARTS}.",
        ],
        shown,
    )


def _marks(means: Mapping[str, Estimate | None], places: Mapping[str, float], shift: float) -> list[panels.Mark]:
    return [panels.at(places[model] + shift, mean) for model, mean in means.items() if mean is not None]
