"""MobileNet against the network it factorises, and against a shallower one: how much of the MAdds saved is time saved?

MobileNetV1 paper, Tables 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnbench.catalog import cite
from mnbench.records import Accuracy, Case, Estimate, ModelFacts, Plan, Run
from mnbench.records.study import Conclusion, Facts, Finding, Holds, PlotFile, StudyOptions, Table, counted
from mnbench.report import panels
from mnbench.report.naming import conditions
from mnbench.report.numbers import bracketed
from mnbench.stats.analysis import LaunchLogs
from mnbench.studies import Study
from mnbench.studies.common import readings
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.planning import sweep_plan
from mnbench.studies.common.slopes import ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL, MOBILENET = "conv_mobilenet_1.0_224", "mobilenet_v1_1.0_224"
NARROW, SHALLOW = "mobilenet_v1_0.75_224", "shallow_mobilenet_1.0_224"
NETWORKS = {FULL: "Conv MobileNet", MOBILENET: "MobileNet", NARROW: "0.75 MobileNet", SHALLOW: "Shallow MobileNet"}
PAPER = "MobileNetV1 paper"
BUDGET_S = 120.0
SIMILAR = 1.1
"""The paper calls the MAdds of its narrow and its shallow network similar; they are 6 % apart. A time is similar
up to 10 %, here and beside MAdds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network in one backend; empty where it was not measured."""

    network: str
    backend: str
    top1_pct: float | None
    """Published; not measured here."""
    params: int | None
    madds: int | None
    latency_ms: Estimate | None
    madds_of_mobilenet: float | None
    """MAdds over those of MobileNet."""
    time_of_mobilenet: Estimate | None
    """Latency over that of MobileNet, paired by launch."""
    gmadds_per_s: Estimate | None


def plan(options: StudyOptions) -> Plan:
    """Return a sweep over the four networks in each backend."""
    cases = [Case(model=model, backend=backend) for backend in options.backends for model in NETWORKS]
    return sweep_plan(cases, options, budget_s=BUDGET_S, baseline=MOBILENET, round_ms=100.0, quick_launches=10, launches=30)


def conclude(run: Run, _facts: Facts) -> Conclusion:
    """Compare MAdds with times."""
    logs = readings.logs_by_case(run)
    costs = {facts.model: facts for facts in run.facts}
    rows = [_row(run, case, logs, costs) for case in run.plan.cases if case.model in NETWORKS]
    return Conclusion(
        findings=(_factorised(run, logs, costs), _narrow(run, logs, costs)),
        tables=(Table(name="networks", caption=CAPTION, kind=Row, rows=rows),),
        plots=(PlotFile(name="time-against-madds", caption=PLOT_CAPTION, draw=lambda: _plot(run, rows)),),
    )


CAPTION = "The four networks: published accuracy, counts, latency, and each over MobileNet's."
PLOT_CAPTION = "On the dotted line a network would take as much longer than MobileNet as it has more multiply-adds."


def _factorised(run: Run, logs: Mapping[str, LaunchLogs], costs: Mapping[str, ModelFacts]) -> Finding:
    times = _ratios(run, logs, FULL, MOBILENET)
    fewer = _count_ratio(costs, FULL, MOBILENET)
    verdicts = {backend: _saved(time, fewer) for backend, time in times.items()}
    labelled = [(f"time of Conv MobileNet over MobileNet, {backend}", "x", time) for backend, time in times.items()]
    labelled += _latencies(run, logs, (FULL, MOBILENET))
    labelled.append(("MAdds of Conv MobileNet over MobileNet", "x", None if fewer is None else counted(fewer)))
    return Finding(
        claim="MobileNet of depthwise separable convolutions loses 1.1 points of accuracy (70.6 for 71.7 %) to MobileNet of "
        "full convolutions and saves tremendously on MAdds: 569 for 4866 million, 8.6 times fewer; read as time, it is faster "
        "by as much.",
        source=cite(PAPER, "Table 4"),
        measured=f"Conv MobileNet takes {_listed_ratios(times)} the time of MobileNet ({readings.by_backend(verdicts)}).",
        figures=readings.figures(labelled),
        verdict=combine(verdicts.values()),
        limits=f"{_threshold(fewer)} Untrained weights; accuracies are the paper's. One thread, batch 1, these backends only."
        + _lacking(run, logs, (FULL, MOBILENET), times),
    )


def _narrow(run: Run, logs: Mapping[str, LaunchLogs], costs: Mapping[str, ModelFacts]) -> Finding:
    times = _ratios(run, logs, NARROW, SHALLOW)
    more = _count_ratio(costs, NARROW, SHALLOW)
    verdicts = {backend: _similar(time) for backend, time in times.items()}
    labelled = [(f"time of 0.75 MobileNet over Shallow MobileNet, {backend}", "x", time) for backend, time in times.items()]
    labelled += _latencies(run, logs, (NARROW, SHALLOW))
    labelled.append(("MAdds of 0.75 MobileNet over Shallow MobileNet", "x", None if more is None else counted(more)))
    return Finding(
        claim="At similar computation, making MobileNet thinner is 3 points better than making it shallower "
        "(68.4 for 65.3 %, with 325 and 307 million MAdds); read as time, the thin network costs about as much as the "
        "shallow one.",
        source=cite(PAPER, "Table 5"),
        measured=f"The thin network takes {_listed_ratios(times)} the time of the shallow one "
        f"({readings.by_backend(verdicts)}).",
        figures=readings.figures(labelled),
        verdict=combine(verdicts.values()),
        limits=f"Judged is the time alone: the claim holds where the thin network takes at most {SIMILAR:g} times the shallow "
        "one's, with the whole interval, and not where it takes more. Untrained weights; accuracies are the paper's. "
        "One thread, batch 1, these backends only." + _lacking(run, logs, (NARROW, SHALLOW), times),
    )


def _threshold(fewer: float | None) -> str:
    """Say in numbers where `_saved` draws its line."""
    if fewer is None:
        return "The multiply-adds were not counted."
    least = f"{fewer / SIMILAR:.2f}"
    return (
        f"Judged is the time alone. Conv MobileNet has {fewer:.2f} times the multiply-adds of MobileNet; the claim holds where "
        f"it takes at least {least} times the time ({fewer:.2f} / {SIMILAR:g}), in part where it takes longer, but less than "
        f"{least} times, and not where it takes no longer. Each with the whole interval."
    )


def _saved(time: Estimate | None, fewer: float | None) -> Holds:
    """Judge whether time falls as MAdds do, up to 10 %."""
    if time is None or fewer is None:
        return Holds.UNDECIDED
    if time.high <= 1:
        return Holds.NO
    if time.low >= fewer / SIMILAR:
        return Holds.YES
    return Holds.PARTLY if time.low > 1 and time.high < fewer / SIMILAR else Holds.UNDECIDED


def _similar(time: Estimate | None) -> Holds:
    if time is None or time.low <= SIMILAR < time.high:
        return Holds.UNDECIDED
    return Holds.YES if time.high <= SIMILAR else Holds.NO


def _ratios(run: Run, logs: Mapping[str, LaunchLogs], over: str, under: str) -> dict[str, Estimate | None]:
    """Return the ratio of two networks' times, paired by launch, by backend."""
    backends = readings.backends_of(run.plan.cases)
    wanted = {name: (Case(model=over, backend=name).id, Case(model=under, backend=name).id) for name in backends}
    return {name: ratio(logs.get(first, {}), logs.get(second, {}), run.plan.level) for name, (first, second) in wanted.items()}


def _count_ratio(costs: Mapping[str, ModelFacts], over: str, under: str) -> float | None:
    return costs[over].madds / costs[under].madds if over in costs and under in costs else None


def _latencies(run: Run, logs: Mapping[str, LaunchLogs], models: Sequence[str]) -> list[tuple[str, str, Estimate | None]]:
    cases = [case for case in run.plan.cases if case.model in models]
    level = run.plan.level
    return [(f"{NETWORKS[case.model]}, {case.backend}", "ms", readings.latency_ms(logs[case.id], level)) for case in cases]


def _listed_ratios(times: Mapping[str, Estimate | None]) -> str:
    shown = {name: bracketed(time) for name, time in times.items()}
    return readings.listed([f"{value} (in {name})" for name, value in shown.items()]) + " times"


def _lacking(run: Run, logs: Mapping[str, LaunchLogs], models: Sequence[str], times: Mapping[str, Estimate | None]) -> str:
    """Say which of two networks was not measured, and why, or where they have too few launches in common; empty if neither."""
    names = {case.id: f"{NETWORKS[case.model]} ({case.backend})" for case in run.plan.cases if case.model in models}
    found = readings.coverage(names, logs, readings.noisy_cases(run))
    apart = [name for name, time in times.items() if time is None]
    if found.complete and apart:
        return f" In {readings.listed(apart)} too few launches have both networks."
    return found.sentence


def _row(run: Run, case: Case, logs: Mapping[str, LaunchLogs], costs: Mapping[str, ModelFacts]) -> Row:
    level, cost = run.plan.level, costs.get(case.model)
    latency = readings.latency_ms(logs[case.id], level)
    base = Case(model=MOBILENET, backend=case.backend)
    return Row(
        network=case.model,
        backend=case.backend,
        top1_pct=_paper_accuracy(run, case.model),
        params=cost.params if cost else None,
        madds=cost.madds if cost else None,
        latency_ms=latency,
        madds_of_mobilenet=_count_ratio(costs, case.model, MOBILENET),
        time_of_mobilenet=ratio(logs[case.id], logs.get(base.id, {}), level),
        gmadds_per_s=latency.under(cost.madds / 1e6) if latency and cost else None,
    )


def _paper_accuracy(run: Run, model: str) -> float | None:
    """Return what the V1 paper prints: the comparison is the paper's, so both sides of it are."""
    found: list[Accuracy] = [accuracy for card in run.models if card.name == model for accuracy in card.accuracy]
    return next((accuracy.top1_pct for accuracy in found if accuracy.source.key == PAPER), None)


def _plot(run: Run, rows: Sequence[Row]) -> Figure:
    shown = [
        panels.Panel(
            title=backend,
            x_label="multiply-adds (million)",
            y_label="latency of one inference (ms)",
            series=_series([row for row in rows if row.backend == backend]),
        )
        for backend in readings.backends_of(run.plan.cases)
    ]
    return panels.draw(
        "How much less time do 8.6 times fewer multiply-adds take?",
        conditions(run),
        [f"Bars: {run.plan.level:.0%} interval over launches; most are smaller than the marker.", PLOT_CAPTION],
        shown,
    )


def _series(rows: Sequence[Row]) -> list[panels.Series]:
    found = []
    for row in rows:
        if row.madds and row.latency_ms:
            mark = panels.at(row.madds / 1e6, row.latency_ms, label=f"{bracketed(row.latency_ms)} ms")
            found.append(panels.Series(name=NETWORKS[row.network], marks=[mark], joined=False))
    base = next((row for row in rows if row.network == MOBILENET and row.latency_ms and row.madds), None)
    if base is not None and base.madds and base.latency_ms:
        ends = [row.madds / 1e6 for row in rows if row.madds]
        line = [panels.Mark(x=x, y=base.latency_ms.value * x * 1e6 / base.madds) for x in (min(ends), max(ends))]
        found.append(panels.Series(name="as fast per MAdd as MobileNet", marks=line, reference=True))
    return found


STUDY = Study(
    name="conv-mobilenet",
    question="Of 8.6 times fewer multiply-adds, how much is less time? And is a thin network as quick as a shallow one?",
    plan=plan,
    budget_s=BUDGET_S,
    conclude=conclude,
)
