"""What the study `layers` finds: the V1 paper's Table 2 counted and timed, and whether the profiles can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mnbench.catalog import cite
from mnbench.records import Citation, Estimate, Run
from mnbench.records.study import Figure, Finding, counted
from mnbench.report.numbers import bracketed
from mnbench.studies.common.cell_verdicts import combine, within
from mnbench.studies.common.readings import listed
from mnbench.studies.layers.cells import Cells, believed, cells_of, limits
from mnbench.studies.layers.records import Seen
from mnbench.studies.layers.shares import LAYOUT, OTHER, UNJOINED, share_of_kinds, sum_over_whole

V1 = "mobilenet_v1_1.0_224"
TABLE_2 = {  # kind: (per cent of MAdds, per cent of parameters), MobileNetV1 paper, Table 2
    "pointwise": (94.86, 74.59),
    "depthwise": (3.06, 1.06),
    "standard": (1.19, 0.02),
    "linear": (0.18, 24.33),
}
ROUNDING = 0.02
"""Percentage points by which a share may differ: the paper prints two decimals and leaves the classifier's offsets out."""
POINTWISE_TIME_PCT = 94.5
"""`95 %` of the time, as rounded."""
ALIKE = 1.25
"""Shares of time and of MAdds are called equal up to this factor: MAdds that are further off are a poor measure of time."""
REST_PCT = 10.0
"""What may be missed, of the time, and matter little."""
REST = (LAYOUT, OTHER)
ADDS_UP = (0.9, 1.1)
OWN = Citation(key="mnbench", title="Do the parts add up to the whole?", year=2026, url="", locator="the study's own check")
OTHER_FIGURE = (
    "The study separable has another figure for MobileNetV1 (network_pct of the depthwise layers in v1_layers.csv, summed): "
    "what a layer adds to a chain of its like, over the network's latency. It is expected to be the smaller one. In a chain "
    "the tensors stay in the cache, and its depthwise layers read what was just written; in the network, other layers' tensors "
    "and weights come between. And the profiler adds a fixed time to each node, which is much of a short one. So the profile "
    "shows rather too much, and the chain rather too little; how much of the difference is due to which was not measured."
)


def findings(run: Run, seen: Sequence[Seen], refused: Mapping[tuple[str, str], str]) -> tuple[Finding, ...]:
    """Return the findings; those on MobileNetV1 only when it was planned."""
    everything, v1 = cells_of(run, seen, refused), cells_of(run, seen, refused, V1)
    checks = (_rest(everything, run.plan.level), _adds_up(everything))
    if not any(case.model == V1 for case in run.plan.cases):
        return (_depthwise_time(everything, everything), *checks)
    return (_counts(v1), _pointwise_time(v1), _depthwise_time(v1, everything), *checks)


def above(estimate: Estimate | None, limit: float) -> bool | None:
    """Say whether a figure is above a limit; None when its interval holds the limit, or there is no figure."""
    if estimate is None or estimate.low <= limit < estimate.high:
        return None
    return estimate.low > limit


def _counts(v1: Cells) -> Finding:
    """Compare the counted shares with the printed ones."""
    figures: list[Figure] = []
    off: list[str] = []
    for kind, printed in TABLE_2.items():
        for what, place in (("MAdds", 0), ("parameters", 1)):
            if not v1.seen:
                continue
            value = v1.seen[0].counts.get(kind, (0.0, 0.0))[place]
            figures.append(Figure(label=f"{kind}: share of {what} (printed {printed[place]:g} %)", unit="%",
                                  estimate=counted(round(value, 3))))  # fmt: skip
            if abs(value - printed[place]) > ROUNDING:
                off.append(f"{kind} {what}: {value:.2f} % counted, {printed[place]:g} % printed")
    agree = len(figures) - len(off)
    return Finding(
        claim="1x1 convolutions take 94.86 % of MobileNetV1's multiply-adds and 74.59 % of its parameters, depthwise ones "
              "3.06 % and 1.06 %, the 3x3 convolution 1.19 % and 0.02 %, the fully connected layer 0.18 % and 24.33 %.",
        source=cite("MobileNetV1 paper", "Table 2"),
        measured=f"{agree} of {len(figures)} shares agree with the table. {_misprint(off)}" if figures else _missing(v1),
        figures=tuple(figures),
        verdict=combine([*[True] * agree, *[False] * len(off)]),
        limits="Counted from the layers that multiply; normalisation is folded into them. The parameters here include the "
               "classifier's 1000 offsets, which the paper's shares leave out.",
    )  # fmt: skip


def _misprint(off: Sequence[str]) -> str:
    if not off:
        return ""
    printed = sum(madds for madds, _ in TABLE_2.values())
    return f"Not: {'; '.join(off)}. The printed shares of multiply-adds add up to {printed:.2f} %, not to 100 %."


def _pointwise_time(v1: Cells) -> Finding:
    shares = [(one, one.times.get("pointwise")) for one in v1.seen]
    told = [f"{_pct(share)} in {one.profile.backend}" for one, share in shares if share]
    held = [above(believed(one, ("pointwise",), v1.strict), POINTWISE_TIME_PCT) if share else None for one, share in shares]
    return Finding(
        claim="MobileNet spends 95 % of its computation time in 1x1 convolutions.",
        source=cite("MobileNetV1 paper", "section 3.2"),
        measured=f"1x1 convolutions take {listed(told)} of the time." if told else _missing(v1),
        figures=tuple(_share_figure(one, "pointwise", share) for one, share in shares if share),
        verdict=combine([*held, *v1.open]),
        limits=f"The paper's 95 % are Table 2's share of multiply-adds, not a time it measured. {limits(v1, ('pointwise',))}",
    )


def _depthwise_time(judged: Cells, everything: Cells) -> Finding:
    """Compare the share of time of depthwise layers with their share of MAdds."""
    figures = [_share_figure(one, "depthwise", share) for one in everything.seen if (share := one.times.get("depthwise"))]
    told, held = [], []
    for one in judged.seen:
        share, madds = one.times.get("depthwise"), one.counts.get("depthwise", (0.0, 0.0))[0]
        if not madds:
            continue
        held.append(within(believed(one, ("depthwise",), judged.strict), madds / ALIKE, madds * ALIKE) if share else None)
        if share:
            told.append(f"{_pct(share)} of the time in {one.profile.backend} for {madds:.2f} % of the multiply-adds "
                        f"({share.value / madds:.1f} times as much)")  # fmt: skip
    model = judged.seen[0].profile.model if judged.seen else "the networks"
    return Finding(
        claim="Depthwise convolutions have the same share of the time as of the multiply-adds: 3.06 % in MobileNetV1.",
        source=cite("MobileNetV1 paper", "Table 2, read as time as section 3.2 reads it for 1x1 convolutions"),
        measured=f"Depthwise layers of {model} take {listed(told)}." if told else "No depthwise layer was timed.",
        figures=tuple(figures),
        verdict=combine([*held, *judged.open]),
        limits=f"Judged as equal: within a factor of {ALIKE:g}, with the whole interval{_of_which(judged, everything)}. "
               f"{limits(everything, ('depthwise',), judged.number)}{f' {OTHER_FIGURE}' if model == V1 else ''}",
    )  # fmt: skip


def _of_which(judged: Cells, everything: Cells) -> str:
    return "" if judged == everything else f", of {V1} alone; the other networks are shown beside it"


def _rest(cells: Cells, level: float) -> Finding:
    """Ask how much time goes to nodes that multiply nothing."""
    shares = [(one, share) for one in cells.seen if (share := share_of_kinds(one.parts, REST, level)) is not None]
    held = [above(believed(one, REST, cells.strict), REST_PCT) for one in cells.seen]
    figures = [Figure(label=f"{one.where}: all that multiplies nothing", unit="% of the time", estimate=share)
               for one, share in shares]  # fmt: skip
    most = max(shares, key=lambda pair: pair[1].value, default=None)
    more, unsure = ([one.where for one, each in zip(cells.seen, held, strict=True) if each is kind] for kind in (True, None))
    said = [f"The most they take is {_pct(most[1])} of the time, in {most[0].where}"] if most else ["Nothing was timed"]
    said += [f"more than {REST_PCT:g} % in {listed(more)}"] if more else []
    said += [f"whether it is more cannot be told in {listed(unsure)}"] if unsure and most else []
    return Finding(
        claim=f"Counting only the layers that multiply and add, as Table 2 does, misses at most {REST_PCT:g} % of the time.",
        source=replace(OWN, title="How much time goes to what multiplies nothing?"),
        measured=f"{'; '.join(said)}.",
        figures=tuple(figures),
        verdict=combine([*(None if each is None else not each for each in held), *cells.open]),
        limits="What a runtime fuses into a convolution counts as the convolution's; kinds.csv tells changes of layout from "
               f"elementwise operators, pooling and normalisation. {limits(cells, REST)}",
    )  # fmt: skip


def _adds_up(cells: Cells) -> Finding:
    figures, held, reasons = [], [], []
    for one in cells.seen:
        ratios = (("the profiled inference", one.sum_over_whole), ("a plain one of the same process", one.sum_over_plain),
                  ("the run's latency", one.sum_over_steady))  # fmt: skip
        for name, ratio in ratios:
            if ratio is not None:
                figures.append(Figure(label=f"{one.where}: sum of the nodes over {name}", unit="x", estimate=ratio))
        held.append(within(sum_over_whole(one.parts, one.profile.plain_ns, cells.strict), *ADDS_UP))
        if held[-1] is not True:
            reasons.append(_why(one, held[-1]))
    unmapped = [f"{one.where}: {len(one.unclaimed)} of {len(one.layers)}" for one in cells.seen if one.unclaimed]
    guessed = [one.where for one in cells.seen if any(not part.certain for part in one.parts)]
    mapped = f"Layers without a node, whose time is among the others: {'; '.join(unmapped)}." if unmapped else (
        "Every layer that multiplies was found in the profile.")  # fmt: skip
    if guessed:
        mapped += f" Some were found by their place in the order of execution, not by name: {', '.join(guessed)}."
    if apart := [one.where for one in cells.seen if any(part.kind == UNJOINED for part in one.parts)]:
        mapped += f" Nodes that multiply and could not be joined with a layer stand as {UNJOINED}: {listed(apart)}."
    lost = f" Without a profile: {listed(cells.lost)}." if cells.lost else ""
    good = sum(1 for one in held if one)
    return Finding(
        claim="The times that a runtime's profile gives its nodes add up to the whole inference, within 10 %.",
        source=OWN,
        measured=f"They do in {good} of {cells.number} cases. {' '.join(reasons)}".strip() if held else "No profile was taken.",
        figures=tuple(figures),
        verdict=combine([*held, *cells.open]),
        limits="Judged against inferences without profiling in the same processes, by wider intervals than those shown: they "
               f"hold in all {cells.number} cases together. {mapped}{lost}",
    )  # fmt: skip


def _why(one: Seen, fits: bool | None) -> str:
    """Say what keeps the sum of one case away from the whole, or might."""
    if one.sum_over_plain is None or one.sum_over_whole is None:
        return f"{one.where}: too few undisturbed launches to say."
    gap_pct = 100 * (1 - one.sum_over_whole.value)
    longer_pct = 100 * (one.sum_over_plain.value / one.sum_over_whole.value - 1)
    causes = []
    if longer_pct >= 1:
        causes.append(f"profiling makes an inference {longer_pct:.0f} % longer, some of it inside the nodes")
    if gap_pct >= 1:
        lost = f", about {one.cut_pct:.0f} of them lost where times are cut to whole microseconds" if one.cut_pct >= 1 else ""
        causes.append(f"{gap_pct:.0f} points of the profiled inference are in no node{lost}")
    causes = causes or ["the launches differ too much to say"]
    ratio = bracketed(one.sum_over_plain)
    return f"{one.where} ({ratio}{', not decided' if fits is None else ''}): {'; '.join(causes)}."


def _share_figure(one: Seen, kind: str, share: Estimate) -> Figure:
    madds = one.counts.get(kind, (0.0, 0.0))[0]
    return Figure(label=f"{one.where}: {kind}, {madds:.2f} % of MAdds", unit="% of the time", estimate=share)


def _missing(cells: Cells) -> str:
    return f"There is no profile: {listed(cells.lost)}."


def _pct(estimate: Estimate) -> str:
    return f"{bracketed(estimate)} %"
