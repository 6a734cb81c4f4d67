"""What the study `separable` says of Table 3, of the whole network as a check, and of graphs of one operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from mnbench.catalog import cite
from mnbench.catalog.operators import cost
from mnbench.records import Estimate
from mnbench.records.study import Figure, Finding, counted
from mnbench.stats.intervals import FEWEST_LAUNCHES
from mnbench.studies.common.operator_slopes import Key, Times
from mnbench.studies.common.slopes import log_ratio, ratio_of, scaled
from mnbench.studies.separable.formula import MOST_NAMED, grid_of
from mnbench.studies.separable.grid import TABLE_3, V1_LAYERS
from mnbench.studies.separable.layers import Proof, proof
from mnbench.studies.separable.speedups import (
    planned_cells,
    single_speedup_logs,
    speedup_logs,
    table_3_logs,
    table_3_operator,
)
from mnbench.studies.separable.verdicts import (
    WITHIN,
    AtLevel,
    ByLaunch,
    in_common,
    judge_gains,
    judge_steps,
    judge_within,
    median_over,
)
from mnbench.studies.separable.words import LIMITS, OWN, PAPER, pct, times

CORRECTED = "with intervals corrected for their number"
ON_TABLE_3 = "ρ = 0.714 is taken as 10x10. Multiply-adds are counted on the modules and are those printed."


def table_3_steps_finding(found: Times) -> Finding:
    """Go through Table 3 row by row: is each faster than the row before?"""
    figures, steps = [], []
    for place, (name, *_) in enumerate(TABLE_3):
        operator = table_3_operator(place)
        figures.append(Figure(label=f"{name}, multiply-adds", unit="M", estimate=counted(round(cost(operator).madds / 1e6, 1))))
        for backend in found.backends:
            time = found.time(Key(operator=operator, backend=backend)).estimate
            if time is not None:
                figures.append(Figure(label=f"{name}, {backend}", unit="ms", estimate=time.per(1e6)))
            if place:
                step = table_3_logs(found, backend, place, against=place - 1)
                steps.append(partial(ratio_of, step))
                figures += _figure(f"{name}, {backend}: times faster than the row before", "x", ratio_of(step, found.level))
    said = [
        f"{backend} {' → '.join(times(ratio_of(table_3_logs(found, backend, n, against=n - 1), found.level)) for n in _rows())}"
        for backend in found.backends
    ]
    return Finding(
        claim="Each step of Table 3 saves: one layer takes 462 → 52.3 → 29.6 → 15.1 million multiply-adds; read as time, each "
        "row is faster than the row before.",
        source=cite(PAPER, "Table 3"),
        measured=f"Times faster than the row before: {'; '.join(said)}.",
        figures=tuple(figures),
        verdict=judge_steps(steps, found.level),
        limits=f"Judged: each row in each runtime, {CORRECTED}. {LIMITS} {ON_TABLE_3}",
    )


def table_3_gains_finding(found: Times) -> Finding:
    """Compare the speed-up over the first row of Table 3 with the multiply-adds saved."""
    figures: list[Figure] = []
    gains: list[AtLevel] = []
    said = []
    for backend in found.backends:
        reached = []
        for place in _rows():
            name, promised = TABLE_3[place][0], cost(table_3_operator(0)).madds / cost(table_3_operator(place)).madds
            gain = table_3_logs(found, backend, place)
            per_promised = scaled(1 / promised, gain)
            gains.append(partial(ratio_of, per_promised))
            share = ratio_of(per_promised, found.level)
            reached.append(f"{times(ratio_of(gain, found.level))} ({pct(share)})")
            faster = f"{name}, {backend}: times faster than the first row (multiply-adds: {promised:.1f} times fewer)"
            figures += _figure(faster, "x", ratio_of(gain, found.level))
            figures += _figure(f"{name}, {backend}: of that saving in multiply-adds", "%", share and share.per(0.01))
        said.append(f"{backend} {' → '.join(reached)}")
    return Finding(
        claim="The rows of Table 3 take 8.8, 15.6 and 30.6 times fewer multiply-adds than the standard convolution; read as "
        "time, they are faster by as much.",
        source=cite(PAPER, "Table 3"),
        measured=f"Times faster than the standard convolution (and that over the saving in multiply-adds): {'; '.join(said)}.",
        figures=tuple(figures),
        verdict=judge_gains(gains, found.level),
        limits=f"Judged: a row agrees where it reaches {100 * (1 - WITHIN):.0f} % of the saving in multiply-adds, "
        f"{CORRECTED}. {LIMITS} {ON_TABLE_3}",
    )


def proof_finding(found: Times) -> Finding:
    """Add up the layers of MobileNetV1."""
    proofs = [proof(found, backend) for backend in found.backends]
    figures, said = [], []
    for one in proofs:
        figures += list(_proof_figures(one))
        kinds = ", ".join(f"{kind} {pct(part.slopes)}" for kind, part in one.by_kind.items() if part.slopes is not None)
        said.append(
            f"in {one.backend} {times(one.total.slopes)} of its latency by slopes{f' ({kinds})' if kinds else ''}, "
            f"{times(one.total.singles)} by graphs of one operator"
        )
    missing = [f"{one.backend}: no time for {', '.join(one.missing)}" for one in proofs if one.missing]
    return Finding(
        claim="Timed one by one, the layers of MobileNetV1 add up to the network's time within 10 %.",
        source=OWN,
        measured=f"The layers add up to: {'; '.join(said)}.",
        figures=tuple(figures),
        verdict=judge_within([_of_slopes(found, backend) for backend in found.backends], found.level),
        limits=f"Judged is the total by slopes in each runtime, {CORRECTED}. It does not show that each kind is "
        "timed as it is in the network: pointwise layers are most of the sum, and depthwise ones could be off by half without "
        "leaving the 10 %. The study `layers` reads the shares of the kinds from the runtimes' own profiles, and the two "
        "differ, most for depthwise layers. Likely reasons: a chain's tensors stay in the cache, so that its depthwise layers "
        "read what was just written; and a profiler adds a fixed time to each node, of which the shortest show most. Which is "
        "nearer is not settled here. "
        "A slope has neither the call nor the conversion of input and output in it, which the network has once. Where "
        "channels change, a pointwise layer's time is the mean of both ways. The fully connected layer has a ReLU behind it. "
        "The global pool is what stands behind copies side by side; it has no graph of its own, and enters both sums as that."
        " Each layer counts with the mean over its own launches, and their errors are added as squares, as if independent."
        + (f" Undecided: {'; '.join(missing)}." if missing else ""),
    )


def singles_finding(found: Times) -> Finding:
    """Say what one would conclude from graphs of one operator."""
    cells = grid_of(planned_cells(found))
    relative = in_common(
        {b: {c: log_ratio(single_speedup_logs(found, c, b), speedup_logs(found, c, b)) for c in cells} for b in found.backends}
    )
    longer = [_longer(found, kind) for kind in ("standard", "depthwise", "pointwise", "separable")]
    figures: list[Figure] = []
    said = []
    for backend, mine in relative.items():
        median = median_over(mine.values(), found.level)
        label = f"{backend}: speed-up from graphs of one operator / from slopes, median of {len(mine)} shapes"
        figures += _figure(label, "x", median)
        if median is not None:
            said.append(f"in {backend} {times(median)} of the speed-up that slopes show")
        for of_kind in longer:
            figures += of_kind[backend]
    proofs = [proof(found, backend) for backend in found.backends]
    added = ", ".join(f"{times(one.total.singles)} of it in {one.backend}" for one in proofs)
    medians: list[AtLevel] = [partial(median_over, list(mine.values())) for mine in relative.values()]
    return Finding(
        claim="A graph of one operator shows what it costs in a network: such graphs add up to it, and show its speed-ups.",
        source=OWN,
        measured=f"Graphs of one operator show, as a median, {'; '.join(said) or 'nothing: too little was measured'}; those of "
        f"MobileNetV1's layers add up to {added}.",
        figures=tuple(figures),
        verdict=judge_within([*medians, *(_of_singles(found, backend) for backend in found.backends)], found.level),
        limits=f"Judged: in each runtime, the median of the speed-ups over that of slopes, and the sum over the network, each "
        f"within {100 * WITHIN:.0f} % of 1, {CORRECTED}. {LIMITS} A graph of one operator includes the call from Python and "
        "the conversion of its input and output to the layout that the runtime computes in, once each."
        + "".join(_without_sum(one) for one in proofs),
    )


def _without_sum(one: Proof) -> str:
    """Say which graphs of one operator keep the others from being added up."""
    names = one.missing_singles
    which = ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} of MobileNetV1's layers"
    return f" No sum in {one.backend}: fewer than {FEWEST_LAUNCHES} launches left of graphs of {which}." if names else ""


def _rows() -> range:
    """Return the rows of Table 3 that are compared with another."""
    return range(1, len(TABLE_3))


def _of_slopes(found: Times, backend: str) -> AtLevel:
    return lambda level: proof(found, backend, level).total.slopes


def _of_singles(found: Times, backend: str) -> AtLevel:
    return lambda level: proof(found, backend, level).total.singles


def _proof_figures(one: Proof) -> Iterator[Figure]:
    yield from _figure(f"{one.backend}: network", "ms", one.network_ms)
    yield from _figure(f"{one.backend}: sum of slopes / network", "x", one.total.slopes)
    yield from _figure(f"{one.backend}: sum of graphs of one operator / network", "x", one.total.singles)
    for kind, part in one.by_kind.items():
        layers = sum(repeats for operator, repeats in V1_LAYERS if operator.kind == kind)
        what = f"{kind}, {layers} layer{'s' if layers > 1 else ''}"
        for how, estimate in (("slopes", part.slopes), ("graphs of one operator", part.singles)):
            if estimate is not None:
                yield from _figure(f"{one.backend}: {what}: sum of {how} / network", "%", estimate.per(0.01))


def _longer(found: Times, kind: str) -> dict[str, Sequence[Figure]]:
    """Return by runtime how many times longer a graph of one operator takes than its slope, over the shapes all have."""
    by_backend = {
        backend: {
            (key.operator, key.batch): log_ratio(found.single(key), found.time(key).logs)
            for key in found.lines()
            if key.operator.kind == kind and key.backend == backend
        }
        for backend in found.backends
    }
    return {
        backend: _median_longer(found, f"{backend}: {kind}", list(mine.values()))
        for backend, mine in in_common(by_backend).items()
    }


def _median_longer(found: Times, what: str, longer: Sequence[ByLaunch]) -> Sequence[Figure]:
    label = f"{what}, graph of one / slope, median of {len(longer)} shapes"
    return _figure(label, "x", median_over(longer, found.level))


def _figure(label: str, unit: str, estimate: Estimate | None) -> Sequence[Figure]:
    """Return one figure, or none."""
    return [] if estimate is None else [Figure(label=label, unit=unit, estimate=estimate)]
