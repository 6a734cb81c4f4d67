"""The findings of the study `roofline`."""

from __future__ import annotations

from collections.abc import Sequence

from mnbench import catalog
from mnbench.records import Estimate, Run
from mnbench.report.roofline_rows import Measured, percent, scaled
from mnbench.stats import roofline
from mnbench.stats.paired import paired_ratio
from mnbench.studies._cell_verdicts import combine
from mnbench.study_records import Figure, Finding, Holds

V1 = "mobilenet_v1_1.0_224"
NEAR_PCT = 50.0
"""At half of its ceiling or more, what a network takes is mostly what the machine cannot do faster."""
SPREAD = 1.25
"""Rates that differ by more than this factor make multiply-adds a poor measure of time."""


ASSUMPTIONS = (
    "The floor takes normalisation, activations, pooling and dispatch as free, each layer's input, weights and output as moved "
    "once, and its bytes as coming at the best measured rate of the innermost level that could hold them. "
    "Products with the padding are left out of the floor, as a kernel may do."
)


def near_the_ceiling(run: Run, measured: Sequence[Measured]) -> Finding:
    """Is V1, being 1x1 convolutions, near what the machine can do, and nearer than the others?"""
    figures = [*_ceiling_figures(run)]
    verdicts: list[Holds] = []
    said = []
    for backend in dict.fromkeys(each.case.backend for each in measured):
        mine = [each for each in measured if each.case.backend == backend]
        figures += [
            Figure(label=f"{each.case.model} in {backend}, floor over latency", unit="%", estimate=pct)
            for each in mine
            if (pct := percent(roofline.estimate_of(each.share, run.plan.level))) is not None
        ]
        v1 = next((each for each in mine if each.case.model == V1), None)
        near = None if v1 is None else percent(roofline.estimate_of(v1.share, run.plan.level))
        if v1 is None or near is None:
            continue
        beaten = [other for other in mine if other is not v1 and _nearer(v1, other, run.plan.level)]
        others = len(mine) - 1
        verdicts.append(_near_verdict(near, len(beaten), others))
        said.append(
            f"in {backend} the machine's limit explains {near.value:.0f} % of V1's time, and V1 is nearer to it than "
            f"{len(beaten)} of {others} other networks"
        )
    verdict = combine(verdicts)
    if not said:
        said = ["too few launches of V1 and of the probes to hold them against each other"]
    return Finding(
        claim="MobileNet puts nearly all of its computation into dense 1x1 convolutions, which run as highly optimised matrix "
        "products (so that few multiply-adds become little time).",
        source=catalog.cite("MobileNetV1 paper", "section 3.2"),
        measured=_sentence(said),
        figures=tuple(figures),
        verdict=verdict,
        limits=f"{ASSUMPTIONS} Judged as near: at least {NEAR_PCT:.0f} % with the whole interval. One core, fp32, batch 1. "
        "The ceilings are the best of the kernels tried. No network ran in bf16 or int8 here; their peaks are for orientation.",
    )


def _near_verdict(near: Estimate, beaten: int, others: int) -> Holds:
    if near.low >= NEAR_PCT:
        return Holds.YES if beaten == others else Holds.PARTLY
    if near.high < NEAR_PCT:
        return Holds.PARTLY if others and beaten == others else Holds.NO
    return Holds.UNDECIDED


def _nearer(one: Measured, other: Measured, level: float) -> bool:
    """Say whether the whole interval of the ratio of the two shares, paired by launch, lies above 1."""
    ratio = paired_ratio([one.share[n] - other.share[n] for n in sorted(one.share.keys() & other.share.keys())], level)
    return ratio is not None and ratio.low > 1


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
        if len(mine) < 2:
            continue
        (best, _), (worst, _) = max(mine, key=lambda pair: pair[1].value), min(mine, key=lambda pair: pair[1].value)
        common = sorted(best.rate.keys() & worst.rate.keys())
        spread = paired_ratio([best.rate[n] - worst.rate[n] for n in common], level)
        if spread is None:
            continue
        figures.append(
            Figure(label=f"rate of {best.case.model} over {worst.case.model} in {backend}", unit="x", estimate=spread)
        )
        verdicts.append(Holds.YES if spread.low > SPREAD else Holds.NO if spread.high <= SPREAD else Holds.UNDECIDED)
        said.append(
            f"in {backend} {best.case.model} does its multiply-adds {spread.value:.2f} times as fast as {worst.case.model}"
        )
    if not said:
        said = ["too few launches to compare the rates of two networks"]
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
    return scaled(per_s, 1e-9)


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
