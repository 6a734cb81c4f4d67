"""The rows every view shows, as plain records: CSV, terminal, JSON, HTML and Markdown all start here.

A figure that the data do not carry is None: an empty cell in CSV, null in JSON, a dash in a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mnbench.records import (
    NULL_BACKEND,
    PERCENTILES,
    Analysis,
    Case,
    CaseResult,
    Ceilings,
    Comparison,
    Condition,
    Estimate,
    Format,
    Run,
)
from mnbench.report.published import artifact_of, headline_accuracy, headline_latency, paper_ratio
from mnbench.stats import roofline
from mnbench.stats.noise import TOO_NOISY

NS_PER_MS = 1e6
BASELINE = "baseline"
"""What stands in the verdict column of the baseline's own row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One case. The fields are the columns of summary.csv, in this order."""

    run_id: str
    case_id: str
    model: str
    backend: str
    precision: str
    threads: int
    batch: int
    environment: str | None
    """Label of the environment of `--env`; None where this one alone is measured."""
    resolution: int | None
    top1_pct: float | None
    top1_source: str | None
    params: int | None
    madds: int | None
    latency_median_ms: float | None
    latency_ci_low_ms: float | None
    latency_ci_high_ms: float | None
    latency_p50_ms: float | None
    """Percentiles of all steady rounds, disturbed ones included; None where not asked for, or without a bounded interval."""
    latency_p50_low_ms: float | None
    latency_p50_high_ms: float | None
    latency_p90_ms: float | None
    latency_p90_low_ms: float | None
    latency_p90_high_ms: float | None
    latency_p95_ms: float | None
    latency_p95_low_ms: float | None
    latency_p95_high_ms: float | None
    latency_p99_ms: float | None
    latency_p99_low_ms: float | None
    latency_p99_high_ms: float | None
    latency_p99_9_ms: float | None
    latency_p99_9_low_ms: float | None
    latency_p99_9_high_ms: float | None
    launches: int
    samples: int
    condition: str
    """`quiet`, or the load beside which all rounds were made: `beside 1.0 busy CPUs`."""
    paper_latency_ms: float | None
    paper_ratio: float | None
    """Beside a ratio between environments, which no paper has, empty."""
    ratio: float | None
    """Latency over that of the baseline. In the baseline's own row 1, by definition, with an empty interval."""
    ratio_ci_low: float | None
    ratio_ci_high: float | None
    verdict: str | None
    """A Verdict, `baseline` in the baseline's own row, or None where nothing was compared."""
    effective_threads: str | None
    effective_precision: str | None
    max_abs_error: float | None
    cold_median_ms: float | None
    """Latency after the caches served something else (`evict_bytes` in run.json)."""
    cold_ci_low_ms: float | None
    cold_ci_high_ms: float | None
    first_median_ms: float | None
    """Latency of the very first inference of a process."""
    first_ci_low_ms: float | None
    first_ci_high_ms: float | None
    load_median_ms: float | None
    """From the file on disk to a session that can run."""
    load_ci_low_ms: float | None
    load_ci_high_ms: float | None
    peak_memory_mib: float | None
    """Peak resident size above that of the imported runtime."""
    roofline_pct: float | None
    """The machine's floor (`mnbench.stats.roofline`) in per cent of the latency; None without ceilings."""
    roofline_ci_low_pct: float | None
    """The interval is the latency's; the ceilings are taken as exact (the study `roofline` pairs them in its networks.csv)."""
    roofline_ci_high_pct: float | None
    caveats: str | None
    """Codes, joined by `;`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One comparison. The fields are the columns of comparison.csv, in this order."""

    case_id: str
    baseline_id: str
    kind: str
    """`baseline`: another network in the same backend. `backend`: the same network in another backend.
    `environment`: the same case in another environment."""
    environment: str | None
    """Label of the environment of the case; that of its baseline is the first one of the plan."""
    latency_ms: float | None
    baseline_latency_ms: float | None
    ratio: float | None
    ratio_ci_low: float | None
    ratio_ci_high: float | None
    ratio_next_run_low: float | None
    """Where the ratio of one further block should lie at another time; only of a run in three blocks or more."""
    ratio_next_run_high: float | None
    level: float | None
    method: str | None
    p_adjusted: float | None
    verdict: str
    condition: str
    """As in summary.csv."""


def summary_rows(run: Run, analysis: Analysis) -> list[SummaryRow]:
    """Return one row per case of the plan (and per further result), in the plan's order; latencies in milliseconds."""
    results = {result.case.id: result for result in analysis.results}
    cases = {case.id: case for case in (*run.plan.cases, *(result.case for result in analysis.results))}
    ceilings = roofline.ceilings_for(run)
    return [_summary_row(run, analysis, case, results.get(case_id), ceilings) for case_id, case in cases.items()]


def comparison_rows(analysis: Analysis) -> list[ComparisonRow]:
    """Return the comparisons with the baseline, then those between backends; latencies in milliseconds."""
    latencies = {result.case.id: finite(result.latency_ns) for result in analysis.results}
    found = [result.vs_baseline for result in analysis.results if result.vs_baseline is not None]
    baseline = [("environment" if comparison.case.environment else BASELINE, comparison) for comparison in found]
    backends = [("backend", comparison) for comparison in analysis.between_backends]
    return [_comparison_row(kind, comparison, latencies, analysis.condition) for kind, comparison in (*baseline, *backends)]


def by_network(rows: Iterable[SummaryRow]) -> list[SummaryRow]:
    """Return the rows grouped by network, in the order the networks first appear: the order of tables for people."""
    groups: dict[str, list[SummaryRow]] = {}
    for row in rows:
        groups.setdefault(row.model, []).append(row)
    return [row for group in groups.values() for row in group]


def condition_words(condition: Condition) -> str:
    """Return a run's condition as a person reads it."""
    return "quiet" if condition.rule == "quiet" else f"beside {condition.busy_cpus:.1f} busy CPUs"


def too_noisy(row: SummaryRow) -> bool:
    """Tell whether so much of the case's rounds was disturbed that nothing is concluded from it."""
    return TOO_NOISY in (row.caveats or "").split(";")


def percentile_ms(row: SummaryRow, percent: float) -> tuple[float | None, float | None, float | None]:
    """Return a percentile of a case with the low and the high end of its interval, in ms; None where there is none."""
    value, low, high = (getattr(row, name) for name in _percentile_columns(percent))
    return value, low, high


def filled_percentiles(rows: Iterable[SummaryRow]) -> list[float]:
    """Return, in rising order, the percentiles that at least one of the rows has."""
    shown = list(rows)
    return [percent for percent in PERCENTILES if any(percentile_ms(row, percent)[0] is not None for row in shown)]


def finite(estimate: Estimate | None) -> Estimate | None:
    """Return the estimate if its value and both its bounds are numbers, else None."""
    if estimate is None or not all(math.isfinite(number) for number in (estimate.value, estimate.low, estimate.high)):
        return None
    return estimate


def is_null(case: Case) -> bool:
    """Tell whether the case times the harness and not a network."""
    return case.backend == NULL_BACKEND


def _summary_row(run: Run, analysis: Analysis, case: Case, result: CaseResult | None, ceilings: Ceilings | None) -> SummaryRow:
    accuracy, artifact = headline_accuracy(run, case.model), artifact_of(run, case.model)
    paper, card = headline_latency(run, case.model), next((c for c in run.models if c.name == case.model), None)
    latency = finite(result.latency_ns) if result else None
    ratio, low, high, verdict = _against_baseline(run, case, result)
    floor_ns = _floor_ns(run, case, ceilings)
    errors = [s.max_abs_error for s in run.samples if s.case.id == case.id and s.max_abs_error is not None]
    return SummaryRow(
        run_id=run.id,
        case_id=case.id,
        model=case.model,
        backend=case.backend,
        precision=case.precision,
        threads=case.threads,
        batch=case.batch,
        environment=case.environment or None,
        resolution=card.resolution if card else None,
        top1_pct=accuracy.top1_pct if accuracy else None,
        top1_source=accuracy.source.short if accuracy else None,
        params=artifact.params if artifact else None,
        madds=artifact.madds if artifact else None,
        latency_median_ms=_ms(latency.value if latency else None),
        latency_ci_low_ms=_ms(latency.low if latency else None),
        latency_ci_high_ms=_ms(latency.high if latency else None),
        **_percentiles(result),
        launches=result.launches if result else 0,
        samples=result.samples if result else 0,
        condition=condition_words(analysis.condition),
        paper_latency_ms=paper.latency_ms if paper else None,
        paper_ratio=None if case.environment else _rounded(paper_ratio(run, case.model)),
        ratio=ratio,
        ratio_ci_low=low,
        ratio_ci_high=high,
        verdict=verdict,
        effective_threads=_effective(run, case, "threads"),
        effective_precision=_effective(run, case, "precision"),
        max_abs_error=max(errors) if errors else None,
        **_regimes(result),
        roofline_pct=_share_pct(floor_ns, latency.value if latency else None),
        roofline_ci_low_pct=_share_pct(floor_ns, latency.high if latency else None),
        roofline_ci_high_pct=_share_pct(floor_ns, latency.low if latency else None),
        caveats=";".join(_caveat_codes(run, analysis, case, result)) or None,
    )


def _percentiles(result: CaseResult | None) -> dict[str, float | None]:
    """Return the columns of every percentile that can be asked for."""
    cells: dict[str, float | None] = {}
    for percent in PERCENTILES:
        estimate = finite(result.percentiles.get(percent)) if result else None
        value, low, high = _percentile_columns(percent)
        cells[value] = _ms(estimate.value if estimate else None)
        cells[low] = _ms(estimate.low if estimate else None)
        cells[high] = _ms(estimate.high if estimate else None)
    return cells


def _percentile_columns(percent: float) -> tuple[str, str, str]:
    """Return the names of a percentile's columns: value, low and high end. 99.9 becomes `p99_9`, a name in any language."""
    name = f"latency_p{percent:g}".replace(".", "_")
    return f"{name}_ms", f"{name}_low_ms", f"{name}_high_ms"


def _regimes(result: CaseResult | None) -> dict[str, float | None]:
    """Return the columns of the regimes beside steady."""
    cells: dict[str, float | None] = {}
    for name in ("cold", "first", "load"):
        estimate = finite(getattr(result, f"{name}_ns")) if result else None
        cells[f"{name}_median_ms"] = _ms(estimate.value if estimate else None)
        cells[f"{name}_ci_low_ms"] = _ms(estimate.low if estimate else None)
        cells[f"{name}_ci_high_ms"] = _ms(estimate.high if estimate else None)
    memory = result.memory_bytes if result else None
    cells["peak_memory_mib"] = None if memory is None else round(memory / (1 << 20), 1)
    return cells


def _floor_ns(run: Run, case: Case, ceilings: Ceilings | None) -> float | None:
    artifact = artifact_of(run, case.model)
    if artifact is None or artifact.format == Format.PROBE:
        return None
    return roofline.floor_ns(artifact.layers, ceilings, case.precision, case.threads, case.batch)


def _share_pct(floor_ns: float | None, latency_ns: float | None) -> float | None:
    return None if floor_ns is None or latency_ns is None else round(100 * floor_ns / latency_ns, 2)


def _against_baseline(
    run: Run, case: Case, result: CaseResult | None
) -> tuple[float | None, float | None, float | None, str | None]:
    if result is None or finite(result.latency_ns) is None:
        return None, None, None, None
    if _is_baseline(case, run):
        return 1.0, None, None, BASELINE
    if result.vs_baseline is None:
        return None, None, None, None
    ratio = finite(result.vs_baseline.ratio)
    if ratio is None:
        return None, None, None, str(result.vs_baseline.verdict)
    return _rounded(ratio.value), _rounded(ratio.low), _rounded(ratio.high), str(result.vs_baseline.verdict)


def _is_baseline(case: Case, run: Run) -> bool:
    if run.plan.environments:
        return case.environment == run.plan.environments[0].label
    return case.model == run.plan.baseline and not case.variant


def _caveat_codes(run: Run, analysis: Analysis, case: Case, result: CaseResult | None) -> list[str]:
    codes = [caveat.code for caveat in analysis.caveats if caveat.subject in (case.id, case.model, case.backend)]
    if any(failure.case.id == case.id for failure in run.failures):
        codes.append("launch-failed" if result and result.launches else "case-failed")
    return list(dict.fromkeys(codes))


def _effective(run: Run, case: Case, key: str) -> str | None:
    values = (samples.effective.get(key) for samples in run.samples if samples.case.id == case.id)
    return _joined(value for value in values if value is not None)


def _joined(values: Iterable[str]) -> str | None:
    return ";".join(dict.fromkeys(values)) or None


def _comparison_row(
    kind: str, comparison: Comparison, latencies: dict[str, Estimate | None], condition: Condition
) -> ComparisonRow:
    ratio, later = finite(comparison.ratio), finite(comparison.next_run)
    case, baseline = latencies.get(comparison.case.id), latencies.get(comparison.baseline.id)
    return ComparisonRow(
        case_id=comparison.case.id,
        baseline_id=comparison.baseline.id,
        kind=kind,
        environment=comparison.case.environment or None,
        latency_ms=_ms(case.value if case else None),
        baseline_latency_ms=_ms(baseline.value if baseline else None),
        ratio=_rounded(ratio.value if ratio else None),
        ratio_ci_low=_rounded(ratio.low if ratio else None),
        ratio_ci_high=_rounded(ratio.high if ratio else None),
        ratio_next_run_low=_rounded(later.low if later else None),
        ratio_next_run_high=_rounded(later.high if later else None),
        level=ratio.level if ratio else None,
        method=ratio.method if ratio else None,
        p_adjusted=comparison.p_adjusted,
        verdict=str(comparison.verdict),
        condition=condition_words(condition),
    )


def _ms(latency_ns: float | None) -> float | None:
    return None if latency_ns is None else _rounded(latency_ns / NS_PER_MS)


def _rounded(value: float | None) -> float | None:
    """Six decimals: a nanosecond in a millisecond, and far below any interval of a ratio."""
    return None if value is None or not math.isfinite(value) else round(value, 6)
