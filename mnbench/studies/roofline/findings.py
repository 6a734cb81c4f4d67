"""The findings of the study `roofline`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnbench import catalog
from mnbench.records import Estimate, Run
from mnbench.records.study import Figure, Finding, Holds
from mnbench.report.numbers import bracketed
from mnbench.stats import roofline
from mnbench.stats.intervals import PAIRED_METHOD, geometric_mean
from mnbench.studies.common.cell_verdicts import combine
from mnbench.studies.common.roofline_rows import Measured, percent

V1 = "mobilenet_v1_1.0_224"
NEAR_PCT = 50.0
"""At half of its ceiling or more, what a network takes is mostly what the machine cannot do faster."""
SPREAD = 1.25
"""Rates that differ by more than this factor make multiply-adds a poor measure of time."""


ASSUMPTIONS = (
    "The floor takes normalisation, activations, pooling and dispatch as free, each layer's input, weights and output as moved "
    "whole and once (no two layers fused), and its bytes as coming at the best measured rate of the innermost level that could "
    "hold them. Products with the padding are left out of the floor, as a kernel may do."
)


def near_the_ceiling(run: Run, measured: Sequence[Measured]) -> Finding:
    """Is V1, being 1x1 convolutions, near what the machine can do, and nearer than the others?"""
    level = run.plan.level
    figures = [*_ceiling_figures(run)]
    compared: list[Figure] = []
    verdicts: list[Holds] = []
    said = []
    for backend in dict.fromkeys(each.case.backend for each in measured):
        mine = [each for each in measured if each.case.backend == backend]
        figures += [
            Figure(label=f"{each.case.model} in {backend}, floor over latency", unit="%", estimate=pct)
            for each in mine
            if (pct := percent(roofline.estimate_of(each.share, level))) is not None
        ]
        v1 = next((each for each in mine if each.case.model == V1), None)
        near = None if v1 is None else percent(roofline.estimate_of(v1.share, level))
        if v1 is None or near is None:
            verdicts.append(Holds.UNDECIDED)
            why = "was not planned" if v1 is None else "or the probes beside it had too few launches"
            said.append(f"in {backend} V1 {why}")
            continue
        ratios = {other.case.model: _ratio(v1.share, other.share, level) for other in mine if other is not v1}
        compared += [
            Figure(label=f"{V1} over {model} in {backend}, each floor over latency", unit="x", estimate=ratio)
            for model, ratio in ratios.items()
            if ratio is not None
        ]
        nearer = [_above_one(ratio) for ratio in ratios.values()]
        verdicts.append(_near_verdict(near, nearer))
        said.append(f"in {backend} the machine's limit explains {bracketed(near)} % of V1's time, and {_compared(nearer)}")
    if not said:
        said = ["no network was held against the probes"]
    return Finding(
        claim="MobileNet puts nearly all of its computation into dense 1x1 convolutions, which run as highly optimised matrix "
        "products (so that few multiply-adds become little time).",
        source=catalog.cite("MobileNetV1 paper", "section 3.2"),
        measured=_sentence(said),
        figures=(*figures, *compared),
        verdict=combine(verdicts),
        limits=f"{ASSUMPTIONS} Holds if V1 is near, at least {NEAR_PCT:.0f} %, and nearer than every other network; in part if "
        "one of the two; judged by whole intervals, and not decided without another network. One core, fp32, batch 1. "
        "The ceilings are the best of the kernels tried. No network ran in bf16 or int8 here; their peaks are for orientation.",
    )


def _near_verdict(near: Estimate, nearer: Sequence[bool | None]) -> Holds:
    """Judge one runtime: is V1 near its ceiling, and nearer than each other network? Without another there is no verdict."""
    is_near = None if near.low < NEAR_PCT <= near.high else near.low >= NEAR_PCT
    is_nearest = False if False in nearer else None if None in nearer or not nearer else True
    if is_near is None or is_nearest is None:
        return Holds.UNDECIDED
    if is_near and is_nearest:
        return Holds.YES
    return Holds.PARTLY if is_near or is_nearest else Holds.NO


def _compared(nearer: Sequence[bool | None]) -> str:
    """Return how V1 does beside the others, and of how many that cannot be told."""
    if not nearer:
        return "there is no other network to compare it with"
    unsure = nearer.count(None)
    beaten = f"V1 is nearer to it than {nearer.count(True)} of {len(nearer)} other networks"
    return beaten + (f" (of {unsure} it cannot be told)" if unsure else "")


def _ratio(one: Mapping[int, float], other: Mapping[int, float], level: float) -> Estimate | None:
    """Return the ratio of two figures whose logarithms are given by launch, paired by launch."""
    return geometric_mean([one[n] - other[n] for n in sorted(one.keys() & other.keys())], level, PAIRED_METHOD)


def _above_one(ratio: Estimate | None) -> bool | None:
    """Say whether a ratio is above 1: None when its interval holds 1, or there is none."""
    if ratio is None or ratio.low <= 1 < ratio.high:
        return None
    return ratio.low > 1


def madds_as_proxy(run: Run, measured: Sequence[Measured]) -> Finding:
    """Do networks do their multiply-adds at one rate?"""
    level = run.plan.level
    figures: list[Figure] = []
    verdicts: list[Holds] = []
    said = []
    for backend in dict.fromkeys(each.case.backend for each in measured):
        mine = [(each, pct) for each in measured if each.case.backend == backend
                if (pct := percent(roofline.estimate_of(each.rate, level))) is not None]  # fmt: skip
        figures += [
            Figure(label=f"{each.case.model} in {backend}, share of the peak rate", unit="%", estimate=pct)
            for each, pct in mine
        ]
        spread = None
        if len(mine) > 1:
            (best, _), (worst, _) = max(mine, key=lambda pair: pair[1].value), min(mine, key=lambda pair: pair[1].value)
            spread = _ratio(best.rate, worst.rate, level)
        if spread is None:
            verdicts.append(Holds.UNDECIDED)
            said.append(f"in {backend} there are not two networks with enough launches beside the probes")
            continue
        figures.append(
            Figure(label=f"rate of {best.case.model} over {worst.case.model} in {backend}", unit="x", estimate=spread)
        )
        verdicts.append(Holds.YES if spread.low > SPREAD else Holds.NO if spread.high <= SPREAD else Holds.UNDECIDED)
        said.append(
            f"in {backend} {best.case.model} does its multiply-adds {bracketed(spread)} times as fast as {worst.case.model}"
        )
    if not said:
        said = ["no network was held against the probes"]
    return Finding(
        claim="It is not enough to define networks in terms of a small number of multiply-adds: it also matters whether the "
        "operations can be implemented efficiently.",
        source=catalog.cite("MobileNetV1 paper", "section 3.2"),
        measured=_sentence(said),
        figures=tuple(figures),
        verdict=combine(verdicts),
        limits=f"Holds if the fastest rate is above {SPREAD:g} times the slowest with the whole interval. The two are chosen "
        "after the fact, which favours a difference; the plot shows all. One core, fp32, batch 1.",
    )


def _ceiling_figures(run: Run) -> list[Figure]:
    ceilings = roofline.ceilings_of(run)
    if ceilings is None:
        return []
    peaks = [
        Figure(label=f"peak {p.precision}, {_cores(p.threads)} ({p.kernel})", unit="GMAdds/s", estimate=_giga(p.madds_per_s))
        for p in ceilings.peaks
    ]
    bands = [
        Figure(
            label=f"bandwidth of {'memory' if not b.level else f'L{b.level}'}, {_cores(b.threads)} ({b.kernel})",
            unit="GB/s",
            estimate=_giga(b.bytes_per_s),
        )
        for b in ceilings.bandwidths
    ]
    return [*peaks, *bands]


def _cores(threads: int) -> str:
    return "1 core" if threads == 1 else f"{threads} cores"


def _giga(per_s: Estimate) -> Estimate:
    return per_s.per(1e9)


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
