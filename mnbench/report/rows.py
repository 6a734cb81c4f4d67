"""The rows of a run: one for each case and one for each comparison, as records that hold whole `Estimate`s.

A figure that the data do not carry is None. How a row is shown is in `columns`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mnbench.records import (
    Accuracy,
    Analysis,
    Case,
    CaseResult,
    Comparison,
    Condition,
    Estimate,
    Format,
    ModelFacts,
    PublishedLatency,
    Run,
    Samples,
    Verdict,
)
from mnbench.report.naming import networks, series_of
from mnbench.report.numbers import Figure
from mnbench.report.published import headline_latency, paper_ratio
from mnbench.stats import roofline
from mnbench.stats.between_runs import CaseDiff, RunDiff

NS_PER_MS = 1e6
BYTES_PER_MIB = 1 << 20
REGRESSION, NOT_COMPARED = "regression", "not compared"
BASELINE = "baseline"
"""What stands in the verdict column of the baseline's own row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One case of the plan."""

    run_id: str
    case: Case
    series: str
    """Its backend, and whatever else differs among the cases."""
    resolution: int | None
    accuracy: Accuracy | None
    """As published."""
    params: int | None
    madds: int | None
    paper: PublishedLatency | None
    paper_ratio: float | None
    """None beside a ratio between environments, which no paper has."""
    latency_ms: Estimate | None
    percentiles_ms: Mapping[float, Estimate | None]
    """By per cent, those that were asked for."""
    cold_ms: Estimate | None
    first_ms: Estimate | None
    load_ms: Estimate | None
    peak_memory_mib: float | None
    roofline_pct: Estimate | None
    """The machine's floor (`mnbench.stats.roofline`) in per cent of the latency; None without ceilings."""
    ratio: Estimate | None
    """Latency over that of the baseline; None in the baseline's own row."""
    verdict: str | None
    """A Verdict, `BASELINE` in the baseline's own row, or None where nothing was compared."""
    launches: int
    samples: int
    condition: Condition
    effective: Mapping[str, str]
    """What the runtime stated; values that differ between launches are joined by `;`."""
    max_abs_error: float | None
    caveats: tuple[str, ...]
    """Codes."""
    too_noisy: bool
    """So much of its rounds was disturbed that nothing is concluded from it."""

    @property
    def shown_ratio(self) -> Figure | None:
        """The ratio; that of the baseline is 1, by definition."""
        return 1.0 if self.verdict == BASELINE else self.ratio

    @property
    def latency_per_image_ms(self) -> Estimate | None:
        """Latency over the images per inference; None where there is one image."""
        return self.latency_ms.per(self.case.batch) if self.latency_ms and self.case.batch > 1 else None

    @property
    def name(self) -> str:
        """The network and its series, for sentences."""
        return f"{self.case.model} ({self.series})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One case against another."""

    kind: str
    """`baseline`: another network in the same backend. `backend`: the same network in another backend.
    `environment`: the same case in another environment."""
    case: Case
    baseline: Case
    series: str
    baseline_series: str
    latency_ms: Estimate | None
    baseline_latency_ms: Estimate | None
    ratio: Estimate | None
    next_run: Estimate | None
    p_adjusted: float | None
    verdict: Verdict
    condition: Condition

    @property
    def name(self) -> str:
        """The case's network and series, for sentences."""
        return f"{self.case.model} ({self.series})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """One case of the old run of a diff."""

    found: CaseDiff
    series: str

    @property
    def outcome(self) -> str:
        """The verdict, or why there is more or less to say."""
        if self.found.not_compared is not None:
            return NOT_COMPARED
        return REGRESSION if self.found.regression else str(self.found.verdict)


def case_rows(run: Run, analysis: Analysis) -> tuple[CaseRow, ...]:
    """Return one row per case of the plan, in its order."""
    facts = _Facts(run, analysis)
    return tuple(facts.row(case) for case in run.plan.cases)


def comparison_rows(run: Run, analysis: Analysis) -> tuple[ComparisonRow, ...]:
    """Return the comparisons with the baseline, then those between backends."""
    latencies = {result.case.id: in_ms(result.latency_ns) for result in analysis.results}
    series = series_of(networks(run))

    def row(kind: str, found: Comparison) -> ComparisonRow:
        case, baseline = found.case.id, found.baseline.id
        return ComparisonRow(
            kind=kind,
            case=found.case,
            baseline=found.baseline,
            series=series.get(case, found.case.backend),
            baseline_series=series.get(baseline, found.baseline.backend),
            latency_ms=latencies.get(case),
            baseline_latency_ms=latencies.get(baseline),
            ratio=finite(found.ratio),
            next_run=finite(found.next_run),
            p_adjusted=found.p_adjusted,
            verdict=found.verdict,
            condition=analysis.condition,
        )

    against = [result.vs_baseline for result in analysis.results if result.vs_baseline is not None]
    return (
        *(row("environment" if found.case.environment else BASELINE, found) for found in against),
        *(row("backend", found) for found in analysis.between_backends),
    )


def diff_rows(found: RunDiff) -> tuple[DiffRow, ...]:
    """Return one row per case of the old run, in the order of its plan."""
    series = series_of(entry.case for entry in found.cases)
    return tuple(DiffRow(found=entry, series=series[entry.case.id]) for entry in found.cases)


def by_network(rows: Iterable[CaseRow]) -> list[CaseRow]:
    """Return the rows grouped by network, in the order the networks first appear: the order of tables for people."""
    groups: dict[str, list[CaseRow]] = {}
    for row in rows:
        groups.setdefault(row.case.model, []).append(row)
    return [row for group in groups.values() for row in group]


def finite(estimate: Estimate | None) -> Estimate | None:
    """Return the estimate if its value and both its bounds are numbers, else None."""
    if estimate is None or not all(math.isfinite(number) for number in (estimate.value, estimate.low, estimate.high)):
        return None
    return estimate


def in_ms(estimate_ns: Estimate | None) -> Estimate | None:
    """Return in milliseconds an estimate in nanoseconds; None where it is not `finite`."""
    known = finite(estimate_ns)
    return None if known is None else known.per(NS_PER_MS)


class _Facts:
    """A run's records by what the rows look them up with: each is looked for in all of them once."""

    def __init__(self, run: Run, analysis: Analysis) -> None:
        self._run = run
        self._condition = analysis.condition
        self._results = {result.case.id: result for result in analysis.results}
        self._cards = {card.name: card for card in run.models}
        self._counted = {facts.model: facts for facts in run.facts}
        self._probes = {artifact.spec.model for artifact in run.artifacts if artifact.format == Format.PROBE}
        self._samples: dict[str, list[Samples]] = {}
        for samples in run.samples:
            self._samples.setdefault(samples.case.id, []).append(samples)
        self._caveats: dict[str, list[tuple[int, str]]] = {}
        for place, caveat in enumerate(analysis.caveats):
            self._caveats.setdefault(caveat.subject, []).append((place, caveat.code))
        self._failed = {failure.case.id for failure in run.failures}
        self._series = series_of(networks(run))
        self._ceilings = roofline.ceilings_for(run)

    def row(self, case: Case) -> CaseRow:
        plan, result = self._run.plan, self._results.get(case.id)
        card, baseline = self._cards.get(case.model), self._cards.get(plan.baseline)
        counted, latency = self._counted.get(case.model), in_ms(result.latency_ns if result else None)
        launches = self._samples.get(case.id, [])
        memory = result.memory_bytes if result else None
        return CaseRow(
            run_id=self._run.id,
            case=case,
            series=self._series.get(case.id, case.backend),
            resolution=card.resolution if card else None,
            accuracy=card.accuracy[0] if card and card.accuracy else None,
            params=counted.params if counted else None,
            madds=counted.madds if counted else None,
            paper=headline_latency(card, baseline),
            paper_ratio=None if case.environment else paper_ratio(card, baseline),
            latency_ms=latency,
            percentiles_ms={percent: in_ms(found) for percent, found in result.percentiles.items()} if result else {},
            cold_ms=in_ms(result.cold_ns if result else None),
            first_ms=in_ms(result.first_ns if result else None),
            load_ms=in_ms(result.load_ns if result else None),
            peak_memory_mib=None if memory is None else memory / BYTES_PER_MIB,
            roofline_pct=self._roofline_pct(case, counted, latency),
            ratio=finite(result.vs_baseline.ratio) if result and result.vs_baseline and latency else None,
            verdict=self._verdict(case, result, latency),
            launches=result.launches if result else 0,
            samples=result.samples if result else 0,
            condition=self._condition,
            effective=_effective(launches),
            max_abs_error=max((s.max_abs_error for s in launches if s.max_abs_error is not None), default=None),
            caveats=tuple(dict.fromkeys(self._codes(case, result))),
            too_noisy=result.too_noisy if result else False,
        )

    def _roofline_pct(self, case: Case, counted: ModelFacts | None, latency_ms: Estimate | None) -> Estimate | None:
        if counted is None or case.model in self._probes or latency_ms is None:
            return None
        floor_ns = roofline.floor_ns(counted.layers, self._ceilings, case.precision, case.threads, case.batch)
        return None if floor_ns is None else latency_ms.under(100 * floor_ns / NS_PER_MS)

    def _verdict(self, case: Case, result: CaseResult | None, latency: Estimate | None) -> str | None:
        if result is None or latency is None:
            return None
        if self._is_baseline(case):
            return BASELINE
        return str(result.vs_baseline.verdict) if result.vs_baseline else None

    def _is_baseline(self, case: Case) -> bool:
        plan = self._run.plan
        if plan.environments:
            return case.environment == plan.environments[0].label
        return case.model == plan.baseline and not case.variant

    def _codes(self, case: Case, result: CaseResult | None) -> Iterable[str]:
        subjects = {case.id, case.model, case.backend}
        yield from (code for _, code in sorted(pair for subject in subjects for pair in self._caveats.get(subject, ())))
        if case.id in self._failed:
            yield "launch-failed" if result and result.launches else "case-failed"


def _effective(launches: Iterable[Samples]) -> dict[str, str]:
    stated: dict[str, dict[str, None]] = {}
    for samples in launches:
        for key, value in samples.effective.items():
            stated.setdefault(key, {})[value] = None
    return {key: ";".join(values) for key, values in stated.items() if any(values)}
