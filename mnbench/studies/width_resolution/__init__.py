"""All 16 MobileNetV1 and 22 MobileNetV2 points: latency against accuracy, a phone's latency, width and resolution.

MobileNetV1 paper, sections 3.3 and 3.4 with Tables 6 and 7; MobileNetV2 paper, Figure 5; the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

from mnbench import catalog
from mnbench.catalog import cite
from mnbench.records import Case, Citation, Estimate, ModelCard, Plan, Run
from mnbench.records.study import Conclusion, Facts, Finding, Holds, PlotFile, StudyOptions, Table, counted
from mnbench.report.numbers import bracketed
from mnbench.studies import Study
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.ordering import order_of_all
from mnbench.studies.common.planning import sweep_plan
from mnbench.studies.width_resolution import power_law, view
from mnbench.studies.width_resolution.exponents import exponent_finding, near, steps_of
from mnbench.studies.width_resolution.grid import Grid, parts, short_name
from mnbench.studies.width_resolution.pareto import Place, front
from mnbench.studies.width_resolution.ranks import kendall
from mnbench.studies.width_resolution.view import FAMILIES, Point, StepRow

RELEASES = ("TF-slim MobileNetV1", "TF-slim MobileNetV2")
PIXEL_SOURCE, PIXEL = "TF-slim MobileNetV2", "Pixel 1"
QUICK_RESOLUTIONS = (224, 128)
BUDGET_S, QUICK_BUDGET_S = 500.0, 42.0
"""Some 30 launches of 38 networks in two backends: with ten, four of seven claims stayed undecided. Quick: with
40 s of export and the conclusion it ends within 90 s."""
HIGH_TAU = 0.9
"""At most one pair in twenty is turned."""


def plan(options: StudyOptions) -> Plan:
    """Return one sweep over both grids; quick, over two of the resolutions."""
    networks = [*catalog.suite("v1-grid"), *catalog.suite("v2-grid")]
    if options.quick:
        networks = [name for name in networks if catalog.card(name).resolution in QUICK_RESOLUTIONS]
    cases = [Case(model=network, backend=backend) for network in networks for backend in options.backends]
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    return sweep_plan(cases, options, budget_s=budget_s, baseline="mobilenet_v2_1.0_224", launches=60)


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Place the networks on a front, rank them beside the phone's milliseconds, and fit exponents."""
    all_logs, noisy = readings.logs_by_case(run), readings.noisy_cases(run)
    timed = [case for case in run.plan.cases if case.backend != "null"]
    grid = Grid(
        run=run,
        cards={card.name: card for card in run.models},
        madds={facts.model: facts.madds for facts in run.facts},
        logs={(case.backend, case.model): all_logs[case.id] for case in timed},
        noisy=frozenset((case.backend, case.model) for case in timed if case.id in noisy),
    )
    places = {backend: _places(grid, backend) for backend in grid.backends}
    points = [_point(grid, backend, network, places[backend]) for backend, network in grid.logs]
    steps = steps_of(grid)
    exponent_findings = [
        exponent_finding(grid, steps, family, along) for family in FAMILIES for along in ("width", "resolution")
    ]
    return Conclusion(
        findings=(_front(grid, places), _ranks(grid), _fit(grid), *exponent_findings),
        tables=(
            Table(name="points", caption="Every network of the two grids in every backend.", kind=Point, rows=points),
            Table(name="steps", caption="Exponents between neighbouring widths and resolutions.", kind=StepRow, rows=steps),
        ),
        plots=(
            PlotFile(name="front", caption=view.FRONT_CAPTION, draw=lambda: view.front_plot(run, points)),
            PlotFile(name="exponents", caption=view.STEPS_CAPTION, draw=lambda: view.steps_plot(run, steps)),
            PlotFile(name="pixel", caption=view.PIXEL_CAPTION, draw=lambda: view.pixel_plot(run, points)),
        ),
    )


def _places(grid: Grid, backend: str) -> dict[str, Place]:
    """Return the place of every network that was planned: a rival that was not measured leaves open what it could beat."""
    logs, measured = grid.planned(backend), grid.measured(backend)
    accuracy = {name: top1 for name in logs if (top1 := _top1(grid.cards.get(name))) is not None}
    order = order_of_all({name: logs[name] for name in accuracy}, grid.run.plan.level)
    found = front(accuracy, order)
    return {name: place if name in measured else Place.UNDECIDED for name, place in found.items()}


def _top1(card: ModelCard | None) -> float | None:
    """Return the accuracy of the released checkpoint: one source for all points. Papers and others give some of them only."""
    found = [accuracy for accuracy in (card.accuracy if card else ()) if accuracy.source.key in RELEASES]
    return found[0].top1_pct if found else None


def _pixel_ms(card: ModelCard | None) -> float | None:
    found = [x for x in (card.latency if card else ()) if x.source.key == PIXEL_SOURCE and x.device == PIXEL]
    return found[0].latency_ms if found else None


def _point(grid: Grid, backend: str, network: str, places: Mapping[str, Place]) -> Point:
    card = grid.cards.get(network)
    latency = readings.latency_ms(grid.logs[backend, network], grid.run.plan.level)
    family, width, resolution = parts(network)
    return Point(
        network=network, family=family, width=width, resolution=resolution, backend=backend, madds=grid.madds.get(network),
        top1_pct=_top1(card), latency_ms=latency, pixel1_ms=_pixel_ms(card),
        place="" if latency is None else str(places.get(network, "")),
    )  # fmt: skip


def _front(grid: Grid, places: Mapping[str, Mapping[str, Place]]) -> Finding:
    figures: list[tuple[str, str, Estimate | None]] = []
    said, undecided = [], []
    for backend, placed in places.items():
        on = {family: _members(placed, family, Place.ON) for family in FAMILIES}
        measured = grid.measured(backend)
        open_points = [network for network in placed if placed[network] is Place.UNDECIDED and network in measured]
        undecided += [f"{short_name(network)} ({backend})" for network in open_points]
        figures += [(f"{FAMILIES[f]} on the front, {backend}", "points", counted(len(names))) for f, names in on.items()]
        figures.append((f"undecided, {backend}", "points", counted(len(open_points))))
        names = readings.listed([short_name(n) for n in sorted(on["mobilenet_v1"], key=parts)])
        said.append(f"in {backend} {len(on['mobilenet_v2'])} of V2 are on the front, and of V1 {names}")
    return Finding(
        claim="MobileNetV2 is the more accurate for its cost over the whole range of widths and resolutions (read as: "
        "no point of MobileNetV1 is on the front).",
        source=cite("MobileNetV2 paper", "Figure 5"),
        measured=f"{'; '.join(said) or 'nothing was measured'}. Undecided: "
        f"{readings.shortened(undecided, ' (points.csv)')}.{grid.lacking(_networks(grid))}",
        figures=readings.figures(figures),
        verdict=combine([_front_verdict(placed) for placed in places.values()]),
        limits="Figure 5 plots multiply-adds; time stands in their place here. A point is off the front when another is at "
        "least as accurate and faster beyond doubt (Holm, all pairs of a backend), on it when all that are as accurate are "
        "slower beyond doubt; one of them that was not measured leaves it open. The fastest network of all is always on it. "
        "Accuracies are those of the released checkpoints, without the sampling error of 50,000 images, about 0.2 points.",
    )


def _networks(grid: Grid) -> list[str]:
    return list(dict.fromkeys(network for _, network in grid.logs))


def _members(placed: Mapping[str, Place], family: str, *wanted: Place) -> list[str]:
    return [name for name, place in placed.items() if parts(name)[0] == family and (not wanted or place in wanted)]


def _front_verdict(placed: Mapping[str, Place]) -> Holds:
    """Judge whether V2 alone is on the front, from the places of all networks that were planned."""
    v1, v2 = _members(placed, "mobilenet_v1"), _members(placed, "mobilenet_v2")
    if not v1 or not v2:
        return Holds.UNDECIDED
    if all(placed[name] is Place.OFF for name in v1):
        return Holds.YES
    if _members(placed, "mobilenet_v1", Place.ON) and _members(placed, "mobilenet_v2", Place.ON):
        return Holds.PARTLY
    return Holds.NO if all(placed[name] is Place.OFF for name in v2) else Holds.UNDECIDED


def _pixel_of(grid: Grid) -> dict[str, float]:
    return {name: ms for name, card in grid.cards.items() if (ms := _pixel_ms(card)) is not None}


def _pixel_source() -> Citation:
    return cite(PIXEL_SOURCE, "table of float checkpoints, Pixel 1 time (ms)")


def _ranks(grid: Grid) -> Finding:
    pixel, level = _pixel_of(grid), grid.run.plan.level
    taus = {backend: kendall(pixel, grid.planned(backend), level) for backend in grid.backends}
    verdicts = [Holds.UNDECIDED if tau is None else judged_tau(tau) for tau in taus.values()]
    said = [f"tau {bracketed(tau)} in {backend}" for backend, tau in taus.items()]
    return Finding(
        claim=f"The {len(pixel)} released MobileNetV2 checkpoints have a ranking by time on a Pixel 1 (read here as: also "
        "on this CPU).",
        source=_pixel_source(),
        measured=f"Kendall's {readings.listed(said)}; 1 would be the same ranking.{grid.lacking(pixel)}",
        figures=readings.figures((f"Kendall's tau, {backend}", "", tau) for backend, tau in taus.items()),
        verdict=combine(verdicts),
        limits="Holds when the whole interval is at 0.9 or above (at most one pair in twenty turned), in part when it lies "
        "between 0 and 0.9, not when it is at 0 or below. The interval is about these networks: pairs whose order is not "
        "beyond doubt (Holm, all pairs), and those of a network that was not measured, count both ways. Published milliseconds "
        "come without intervals.",
    )


def judged_tau(tau: Estimate) -> Holds:
    """Judge a rank correlation by the whole of its interval: high, positive but not high, or not positive."""
    if tau.low >= HIGH_TAU:
        return Holds.YES
    if tau.high <= 0:
        return Holds.NO
    return Holds.PARTLY if tau.low > 0 and tau.high < HIGH_TAU else Holds.UNDECIDED


def _fit(grid: Grid) -> Finding:
    pixel, level = _pixel_of(grid), grid.run.plan.level
    found: dict[str, Estimate | None] = {}
    verdicts = []
    for backend in grid.backends:
        latencies = {name: readings.latency_ms(logs, level) for name, logs in grid.measured(backend).items() if name in pixel}
        known = {name: latency.value for name, latency in latencies.items() if latency is not None}
        found[backend] = power_law.over_networks([pixel[name] for name in known], list(known.values()), level)
        verdicts.append(near(found[backend], 1.0, 0.1) if grid.coverage(backend, pixel).complete else Holds.UNDECIDED)
    said = [f"{bracketed(exponent)} in {backend}" for backend, exponent in found.items()]
    return Finding(
        claim="Times on a Pixel 1 carry over in proportion: a network twice as slow there is twice as slow here (exponent 1; "
        "our reading of a table that says nothing of other machines).",
        source=readings.own("Do a phone's times carry over?", "a reading of TF-slim's table of float checkpoints, Pixel 1"),
        measured=f"latency here grows with the Pixel's to the power of {readings.listed(said)}.{grid.lacking(pixel)}",
        figures=readings.figures((f"exponent, {backend}", "", exponent) for backend, exponent in found.items()),
        verdict=combine(verdicts),
        limits="Least squares on logarithms; the interval holds how networks scatter about the line. Proportional means "
        "within 0.1 of 1. Judged only where every network was measured. That times carry over is what users of such tables "
        "assume, not what their authors say.",
    )


STUDY = Study(
    name="width-resolution",
    question="Which widths and resolutions pay, does a phone's ranking carry over, and does time follow the squares?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
