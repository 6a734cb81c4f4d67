"""Activations that must be kept, counted from the modules, beside the paper's table and measured peak memory.

MobileNetV2 paper, section 5.1 and Table 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnbench import environment
from mnbench.catalog import cite
from mnbench.records import Case, Estimate, Plan, Run
from mnbench.records.study import Conclusion, Facts, Finding, Holds, PlotFile, StudyOptions, Table, counted
from mnbench.report.numbers import bracketed
from mnbench.studies import Study
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.planning import budget_of, check_backends, usable_memory_bytes
from mnbench.studies.memory import view
from mnbench.studies.memory.table import (
    IN_PARTS,
    KB,
    MISPRINT,
    NETWORKS,
    NOTHING,
    PRINTED,
    RESOLUTIONS,
    SHUFFLE,
    V1,
    V2,
    WHOLE,
    Kept,
    KeptRow,
    kept_channels,
    kept_rows,
    largest_kb,
)
from mnbench.studies.memory.view import FLOAT_BYTES, MIB, Readings, held, mean_mib, per_image, whole_kb

PAPER = "MobileNetV2 paper"
BUDGET_S = 170.0
BATCHES = (1, 16, 32)
"""What one more image adds is read between the last two: between 1 and 16, loading the weights hides some of it."""
WORKER_BYTES, IMAGE_BYTES = 400 << 20, 20 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakRow:
    """Measured memory of one case, or, at batch `per image`, what one more image adds; empty where it was not measured."""

    network: str
    backend: str
    batch: str
    processes: int
    peak_mib: Estimate | None
    """Peak resident size above that of the imported runtime, after the first inference."""
    weights_mib: float | None
    """Parameters as 32-bit floats."""


def plan(options: StudyOptions) -> Plan:
    """Return a plan that opens each case in processes of its own and times nothing."""
    cases = tuple(
        Case(model=model, backend=backend, batch=batch)
        for batch in _fitting(options)
        for backend in options.backends
        for model in NETWORKS
    )
    check_backends(cases)
    return Plan(
        cases=cases,
        baseline=V1,
        launches=0,
        cpus=environment.choose_cpus(1, options.cpus),
        seed=options.seed,
        budget_s=budget_of(options, BUDGET_S),
        regimes=("memory",),
        memory_launches=4 if options.quick else 8,
    )


def _fitting(options: StudyOptions) -> list[int]:
    """Return the batches that fit into memory; note the others as skipped."""
    usable, fitting = usable_memory_bytes(), []
    for batch in BATCHES:
        needed = WORKER_BYTES + batch * IMAGE_BYTES
        if needed <= usable:
            fitting.append(batch)
        else:
            reason = f"it may need {needed >> 20} MiB, and {usable >> 20} MiB can be had"
            options.skipped.append(f"batch {batch} is left out: {reason}")
    return fitting


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Count what must be kept, name the table's misprints, and rank the networks by measured memory."""
    layers = {facts.model: facts.layers for facts in run.facts if facts.layers}
    kept = {model: kept_channels(model, layers[model]) if model in layers else NOTHING for model in NETWORKS}
    rows = [row for model in NETWORKS for row in kept_rows(model, kept[model])]
    peaks = _peak_rows(run)
    return Conclusion(
        findings=(_table_finding(kept, rows), _peak_finding(run, kept), _image_finding(run, kept)),
        tables=(
            Table(
                name="materialised",
                caption="What must be kept per resolution: counted, with the first layer in parts and whole, and printed.",
                kind=KeptRow,
                rows=rows,
            ),
            Table(name="peak", caption="Peak memory of a process above its imported runtime.", kind=PeakRow, rows=peaks),
        ),
        plots=(
            PlotFile(
                name="materialised",
                caption="Counted from the modules by the paper's rule, and as the paper prints it.",
                draw=lambda: view.kept_plot(run, rows),
            ),
            PlotFile(name="peak", caption="Measured memory.", draw=lambda: view.peak_plot(run, kept)),
        ),
    )


def _table_finding(kept: Mapping[str, Kept], rows: Sequence[KeptRow]) -> Finding:
    wrong = [f"{NETWORKS[row.network]} {row.resolution}: {row.remarks}" for row in rows if row.remarks]
    counts = [(row.printed_channels, (row.counted_channels, row.first_whole_channels)) for row in rows]
    cells = [(printed, both) for printed, both in counts if printed is not None and both != (None, None)]
    agree = sum(printed in both for printed, both in cells)
    return Finding(
        claim="MobileNetV2 must keep 400K of activations at most, MobileNetV1 1600K and ShuffleNet 600K "
        "(earlier versions of the paper: 200K, 800K and 600K).",
        source=cite(PAPER, "Table 3 and section 5.1"),
        measured=f"{agree} of {len(cells)} printed channel counts are those of the modules. Printed wrong: "
        f"{'; '.join(wrong) or 'nothing'}.",
        figures=readings.figures(_counts(kept)),
        verdict=_table_verdict(kept),
        limits="Counted, not measured: 16-bit floats, batch 1, Kb of 1000 bytes. The table's caption lets the first layer of "
        "MobileNetV2 and of ShuffleNet be computed in parts. Counted are both ways, each alike for all networks; judged are "
        "the printed sizes with the first layer in parts, as the table's last row has it, and the order both ways. Nothing "
        "here runs a block in parts.",
    )


def _counts(kept: Mapping[str, Kept]) -> list[tuple[str, str, Estimate | None]]:
    """Return what is counted, both ways: the most of each network, and the channels at each resolution."""
    found: list[tuple[str, str, Estimate | None]] = []
    for way in (IN_PARTS, WHOLE):
        largest = {model: largest_kb(_way(kept[model], way)) for model in NETWORKS}
        found += [(f"{NETWORKS[m]}, most kept, {way}", "Kb", counted(kb)) for m, kb in largest.items() if kb is not None]
    for model in NETWORKS:
        for resolution in RESOLUTIONS:
            channels, whole = kept[model].in_parts.get(resolution), kept[model].whole.get(resolution)
            label = f"{NETWORKS[model]} at {resolution}x{resolution}"
            if channels is not None:
                found.append((label, "channels", counted(channels)))
            if whole is not None and whole != channels:
                found.append((f"{label}, {WHOLE}", "channels", counted(whole)))
    return found


def _way(kept: Kept, way: str) -> Mapping[int, int]:
    return kept.in_parts if way == IN_PARTS else kept.whole


def _table_verdict(kept: Mapping[str, Kept]) -> Holds:
    """Judge the order of the networks both ways, and the printed sizes by the way of the table's last row."""
    least = []
    for way in (IN_PARTS, WHOLE):
        known = {model: kb for model in NETWORKS if (kb := largest_kb(_way(kept[model], way))) is not None}
        if len(known) < len(NETWORKS):
            return Holds.UNDECIDED
        least.append(min(known, key=lambda model: known[model]) == V2)
    if not any(least):
        return Holds.NO
    printed = {model: PRINTED[model][-1][1] for model in NETWORKS}
    as_printed = {model: largest_kb(kept[model].in_parts) or 0.0 for model in NETWORKS}
    fits = all(abs(as_printed[model] - printed[model]) <= MISPRINT * printed[model] for model in NETWORKS)
    return Holds.YES if fits and all(least) else Holds.PARTLY


def _peak_finding(run: Run, kept: Mapping[str, Kept]) -> Finding:
    found = {
        backend: {model: held(run, Case(model=model, backend=backend)) for model in NETWORKS}
        for backend in readings.backends_of(run.plan.cases)
    }
    return _ranked(
        run,
        found,
        claim="MobileNetV2 has the smallest memory footprint of the three at inference (read here as: peak memory of a "
        "process).",
        what="peak memory with one image",
        limits="Peak resident size after the first inference, above that of the process when the runtime was imported: "
        "weights (as the "
        "file has them and as the runtime repacks them) and what loading takes are in it, and weigh more than activations. "
        "Each reading is a process of its own. Runtimes here keep whole tensors of 32-bit "
        f"floats.{_kept_words(kept, whole_kb(run))}",
    )


def _image_finding(run: Run, kept: Mapping[str, Kept]) -> Finding:
    found = {
        backend: {model: per_image(run, backend, model) for model in NETWORKS}
        for backend in readings.backends_of(run.plan.cases)
    }
    return _ranked(
        run,
        found,
        claim="MobileNetV2 keeps the fewest activations: a quarter of MobileNetV1's memory, and two thirds of ShuffleNet's "
        "(read here as: one more image takes it least).",
        what="memory of one more image in the batch",
        limits="The difference between two batches, over their images: weights and loading cancel, the input (0.6 MB an image, "
        "copied by some runtimes) does not. The claim is judged as a ranking; a block computed in parts, on which the paper's "
        f"numbers rest, is what neither runtime does.{_kept_words(kept, whole_kb(run))}",
    )


def _kept_words(kept: Mapping[str, Kept], whole: Mapping[str, float]) -> str:
    ways = {
        way: [
            f"{NETWORKS[model]} {kb / KB:.1f} MB"
            for model in NETWORKS
            if (kb := largest_kb(_way(kept[model], way), FLOAT_BYTES)) is not None
        ]
        for way in (IN_PARTS, WHOLE)
    }
    wide = [f"{NETWORKS[model]} {kb / KB:.1f} MB" for model, kb in whole.items()]
    if not wide:
        return ""
    by_rule = "; ".join(f"with the {way}: {readings.listed(words)}" for way, words in ways.items())
    return (
        f" Largest tensor in 32 bits, kept by the paper's rule {by_rule}; when every layer's output is kept whole, as runtimes "
        f"do: {readings.listed(wide)}."
    )


def _ranked(run: Run, found: Mapping[str, Mapping[str, Readings]], *, claim: str, what: str, limits: str) -> Finding:
    """Judge whether V2 takes less than each of the others, backend by backend."""
    level = run.plan.level
    figures: list[tuple[str, str, Estimate | None]] = []
    verdicts: dict[str, Holds] = {}
    said = []
    for backend, by_model in found.items():
        means = {model: mean_mib(values, level) for model, values in by_model.items()}
        figures += [(f"{what}: {NETWORKS[model]}, {backend}", "MiB", mean) for model, mean in means.items()]
        margins = {model: _margin(by_model[model], by_model[V2], level) for model in (V1, SHUFFLE)}
        figures += [(f"{NETWORKS[m]} less MobileNetV2, {backend}", "MiB", margin) for m, margin in margins.items()]
        verdicts[backend] = combine([_more(margin) for margin in margins.values()])
        shown = [f"{NETWORKS[model]} {bracketed(mean)}" for model, mean in means.items()]
        said.append(f"in {backend} {readings.listed(shown)} MiB ({verdicts[backend]})")
    return Finding(
        claim=claim,
        source=cite(PAPER, "section 5.1 and Table 3"),
        measured=f"{what}: {'; '.join(said) or 'not measured'}.",
        figures=readings.figures(figures),
        verdict=combine(list(verdicts.values())),
        limits=limits,
    )


def _margin(other: Readings, mine: Readings, level: float) -> Estimate | None:
    """Return how much more another network takes than V2, in MiB, paired by launch."""
    return mean_mib({launch: other[launch] - mine[launch] for launch in sorted(other.keys() & mine.keys())}, level)


def _more(margin: Estimate | None) -> Holds:
    if margin is None or margin.low <= 0 <= margin.high:
        return Holds.UNDECIDED
    return Holds.YES if margin.low > 0 else Holds.NO


def _peak_rows(run: Run) -> list[PeakRow]:
    params = {facts.model: facts.params for facts in run.facts}
    values = [(case.model, case.backend, f"{case.batch}", held(run, case)) for case in run.plan.cases if case.model in NETWORKS]
    values += [
        (model, backend, "per image", per_image(run, backend, model))
        for backend in readings.backends_of(run.plan.cases)
        for model in NETWORKS
    ]
    rows = []
    for model, backend, batch, found in values:
        weights_mib = params[model] * FLOAT_BYTES / MIB if model in params and batch != "per image" else None
        rows.append(
            PeakRow(
                network=model, backend=backend, batch=batch, processes=len(found), peak_mib=mean_mib(found, run.plan.level),
                weights_mib=weights_mib,
            )
        )  # fmt: skip
    return rows


STUDY = Study(
    name="memory",
    question="How much memory do MobileNetV1, V2 and ShuffleNet need, counted by the paper's rule and measured?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
