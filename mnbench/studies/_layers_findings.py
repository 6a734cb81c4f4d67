"""What the study `layers` finds: the V1 paper's Table 2 counted and timed, and whether the profiles can be believed."""

from __future__ import annotations

from collections.abc import Sequence

from mnbench.catalog import cite
from mnbench.records import Citation, Estimate, Run
from mnbench.report.numbers import bracketed
from mnbench.stats.layer_shares import LAYOUT, OTHER
from mnbench.studies._cell_verdicts import combine
from mnbench.studies._layers_records import Seen
from mnbench.study_records import Figure, Finding, Holds, counted

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
ADDS_UP = (0.9, 1.1)
OWN = Citation(key="mnbench", title="Do the parts add up to the whole?", year=2026, url="", locator="the study's own check")


def findings(run: Run, seen: Sequence[Seen]) -> tuple[Finding, ...]:
    """Return the findings; those on MobileNetV1 only when it was planned."""
    v1 = [one for one in seen if one.profile.model == V1]
    of_v1 = (_counts(v1), _pointwise_time(v1)) if any(case.model == V1 for case in run.plan.cases) else ()
    return (*of_v1, _depthwise_time(v1 or seen, seen), _rest(seen), _adds_up(seen))


def above(estimate: Estimate | None, limit: float) -> bool | None:
    """Say whether a figure is above a limit; None when its interval holds the limit, or there is no figure."""
    if estimate is None or estimate.low <= limit < estimate.high:
        return None
    return estimate.low > limit


def within(estimate: Estimate | None, low: float, high: float) -> bool | None:
    """Say whether a figure lies between two limits; None when its interval reaches over one, or there is no figure."""
    if estimate is None:
        return None
    if low <= estimate.low and estimate.high <= high:
        return True
    return False if estimate.high < low or estimate.low > high else None


def _counts(v1: Sequence[Seen]) -> Finding:
    """Compare the counted shares with the printed ones."""
    figures: list[Figure] = []
    off: list[str] = []
    for kind, printed in TABLE_2.items():
        for what, place in (("MAdds", 0), ("parameters", 1)):
            if not v1:
                continue
            value = v1[0].counts.get(kind, (0.0, 0.0))[place]
            figures.append(Figure(label=f"{kind}: share of {what} (printed {printed[place]:g} %)", unit="%",
                                  estimate=counted(round(value, 3))))  # fmt: skip
            if abs(value - printed[place]) > ROUNDING:
                off.append(f"{kind} {what}: {value:.2f} % counted, {printed[place]:g} % printed")
    agree = len(figures) - len(off)
    return Finding(
        claim="1x1 convolutions take 94.86 % of MobileNetV1's multiply-adds and 74.59 % of its parameters, depthwise ones "
              "3.06 % and 1.06 %, the 3x3 convolution 1.19 % and 0.02 %, the fully connected layer 0.18 % and 24.33 %.",
        source=cite("MobileNetV1 paper", "Table 2"),
        measured=f"{agree} of {len(figures)} shares agree with the table. {_misprint(off)}" if figures else _missing(V1),
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


def _pointwise_time(v1: Sequence[Seen]) -> Finding:
    shares = [(one, one.times.get("pointwise")) for one in v1]
    told = [f"{_pct(share)} in {one.profile.backend}" for one, share in shares if share]
    return Finding(
        claim="MobileNet spends 95 % of its computation time in 1x1 convolutions.",
        source=cite("MobileNetV1 paper", "section 3.2"),
        measured=f"1x1 convolutions take {_listed(told)} of the time." if told else _missing(V1),
        figures=tuple(_share_figure(one, "pointwise", share) for one, share in shares if share),
        verdict=combine([above(share, POINTWISE_TIME_PCT) for _, share in shares]),
        limits=f"The paper's 95 % are Table 2's share of multiply-adds, not a time it measured. {_limits(v1, 'pointwise')}",
    )


def _depthwise_time(judged: Sequence[Seen], seen: Sequence[Seen]) -> Finding:
    """Compare the share of time of depthwise layers with their share of MAdds."""
    having = [one for one in seen if "depthwise" in one.counts]
    figures = [_share_figure(one, "depthwise", share) for one in having if (share := one.times.get("depthwise"))]
    told = []
    for one in judged:
        share = one.times.get("depthwise")
        if share and "depthwise" in one.counts:
            madds = one.counts["depthwise"][0]
            told.append(f"{_pct(share)} of the time in {one.profile.backend} for {madds:.2f} % of the multiply-adds "
                        f"({share.value / madds:.1f} times as much)")  # fmt: skip
    model = judged[0].profile.model if judged else "the networks"
    return Finding(
        claim="Depthwise convolutions are 3.06 % of MobileNetV1's multiply-adds: next to nothing beside the 1x1 ones.",
        source=cite("MobileNetV1 paper", "Table 2 and section 3.1"),
        measured=f"Depthwise layers of {model} take {_listed(told)}." if told else "No depthwise layer was timed.",
        figures=tuple(figures),
        verdict=_negated(combine([above(one.times.get("depthwise"), one.counts["depthwise"][0])
                                  for one in judged if "depthwise" in one.counts])),
        limits=f"Judged is whether their share of the time is no larger than that of MAdds. {_limits(seen, 'depthwise')}",
    )  # fmt: skip


def _rest(seen: Sequence[Seen]) -> Finding:
    """Ask how much time goes to nodes that multiply nothing."""
    figures, held = [], []
    for one in seen:
        for kind, name in ((LAYOUT, "layout changes"), (OTHER, "elementwise, pooling, normalisation")):
            share = one.times.get(kind)
            if share:
                figures.append(Figure(label=f"{one.where}: {name}", unit="% of the time", estimate=share))
        rest = [one.times[kind] for kind in (LAYOUT, OTHER) if kind in one.times]
        if one.times:
            # Sums of the ends: wider than the interval of the sum, so the verdict errs to the side of none.
            low, high = sum(share.low for share in rest), sum(share.high for share in rest)
            held.append(True if high <= 10 else False if low > 10 else None)
    most = max((figure for figure in figures), key=lambda figure: figure.estimate.value, default=None)
    return Finding(
        claim="Counting only the layers that multiply and add misses nothing that matters.",
        source=cite("MobileNetV1 paper", "Table 2, whose four kinds of layers are all that it counts"),
        measured=f"The most they take is {_pct(most.estimate)} of the time: {most.label}." if most else "Nothing was timed.",
        figures=tuple(figures),
        verdict=combine(held),
        limits="Judged is whether nodes that multiply nothing take no more than 10 % of the time. What a runtime fuses into a "
               "convolution counts as the convolution's.",
    )  # fmt: skip


def _adds_up(seen: Sequence[Seen]) -> Finding:
    figures, held, reasons = [], [], []
    for one in seen:
        ratios = (("the profiled inference", one.sum_over_whole), ("a plain one of the same process", one.sum_over_plain),
                  ("the run's latency", one.sum_over_steady))  # fmt: skip
        for name, ratio in ratios:
            if ratio is not None:
                figures.append(Figure(label=f"{one.where}: sum of the nodes over {name}", unit="x", estimate=ratio))
        fits = within(one.sum_over_plain, *ADDS_UP)
        held += [fits]
        if fits is not True:
            reasons.append(_why(one))
    unmapped = [f"{one.where}: {len(one.unclaimed)} of {len(one.layers)}" for one in seen if one.unclaimed]
    guessed = [one.where for one in seen if any(not part.certain for part in one.parts)]
    mapped = f"Layers without a node, whose time is among the others: {'; '.join(unmapped)}." if unmapped else (
        "Every layer that multiplies was found in the profile.")  # fmt: skip
    if guessed:
        mapped += f" Some were found by their place in the order of execution, not by name: {', '.join(guessed)}."
    good = sum(1 for one in held if one)
    return Finding(
        claim="The times that a runtime's profile gives its nodes add up to the whole inference, within 10 %.",
        source=OWN,
        measured=f"They do in {good} of {len(held)} cases. {' '.join(reasons)}".strip() if held else "No profile was taken.",
        figures=tuple(figures),
        verdict=combine(held),
        limits=f"Judged against inferences without profiling in the same processes. {mapped}",
    )


def _why(one: Seen) -> str:
    """Say what keeps the sum of one case away from the whole."""
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
    ratio = bracketed(one.sum_over_plain.value, one.sum_over_plain.low, one.sum_over_plain.high)
    return f"{one.where} ({ratio}): {'; '.join(causes)}."


def _share_figure(one: Seen, kind: str, share: Estimate) -> Figure:
    madds = one.counts.get(kind, (0.0, 0.0))[0]
    return Figure(label=f"{one.where}: {kind}, {madds:.2f} % of MAdds", unit="% of the time", estimate=share)


def _limits(seen: Sequence[Seen], kind: str) -> str:
    """Say what the profiles distort: the shares' intervals do not hold it."""
    doubts = [f"{one.where}: {one.cut_pct:.0f} %" for one in seen if one.cut_pct >= 2]
    cut = f" Profiles cut times to whole microseconds, which makes short nodes look shorter, in all by {'; '.join(doubts)}."
    excess = [
        f"{one.where} by {one.excess_pct:.0f} % of their sum"
        + (
            f" (the share is {one.less_profiling[kind]:.1f} % if each node has as much of it)"
            if kind in one.less_profiling
            else ""
        )
        for one in seen
        if one.excess_pct is not None
    ]
    own = (
        f" Nodes take longer together than a plain inference, by the profiler's own work inside them, in {_listed(excess)}: "
        "it weighs on short nodes, and no interval holds it."
    )
    return f"One thread, batch 1, fp32; time is that of the profile's nodes.{cut if doubts else ''}{own if excess else ''}"


def _missing(model: str) -> str:
    return f"{model} was not profiled."


def _pct(estimate: Estimate) -> str:
    return f"{bracketed(estimate.value, estimate.low, estimate.high)} %"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""


def _negated(verdict: Holds) -> Holds:
    """Return the verdict on the opposite."""
    return {Holds.YES: Holds.NO, Holds.NO: Holds.YES}.get(verdict, verdict)
