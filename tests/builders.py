"""Made-up runs of any size for tests of the views: seeded, so that every test sees the same figures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mnbench.records import (
    Accuracy,
    Analysis,
    Artifact,
    Case,
    CaseResult,
    Caveat,
    Citation,
    Comparison,
    Environment,
    Estimate,
    ExportSpec,
    Format,
    LaunchFailure,
    Model,
    ModelCard,
    ModelFacts,
    Plan,
    Published,
    PublishedLatency,
    Round,
    Run,
    Samples,
    Source,
    Verdict,
)

PAPER = Citation(
    key="Sandler et al. 2018",
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    year=2018,
    url="https://arxiv.org/abs/1801.04381",
    locator="Table 4",
)
RELEASE = Citation(
    key="TF-slim checkpoints",
    title="tensorflow/models research/slim",
    year=2018,
    url="https://github.com/tensorflow/models",
    locator="README",
)
BASELINE = "mobilenet_v2_1.0_224"
PIXEL = "Google Pixel 1, one large core, TF-Lite"
LONG_CPU = "Intel(R) Xeon(R) Platinum 8488C Processor with Advanced Matrix Extensions @ 2.40GHz (virtualised)"

# name, top-1 per cent, params, MAdds, published ms, other published ms, ms on the imagined CPU
TABLE = (
    ("mobilenet_v1_1.0_224", 70.6, 4.23e6, 569e6, 113.0, None, 9.0),
    ("shufflenet_v1_1.5_g3_224", 71.5, 3.44e6, 292e6, None, None, 7.1),
    ("shufflenet_v1_2.0_g3_224", 73.7, 5.45e6, 524e6, None, None, 10.4),
    ("nasnet_a_mobile_224", 74.0, 5.29e6, 564e6, 183.0, None, 19.8),
    (BASELINE, 72.0, 3.5e6, 300e6, 75.0, 73.8, 6.21),
    ("mobilenet_v2_1.4_224", 74.7, 6.11e6, 582e6, 143.0, 138.0, 11.0),
)
GRID_TOP1 = {
    "1.4": (75.0,),
    "1.3": (74.4,),
    "1.0": (71.8, 70.7, 68.8, 65.3, 60.3),
    "0.75": (69.8, 68.7, 66.4, 63.2, 58.8),
    "0.5": (65.4, 63.9, 61.0, 57.7, 51.2),
    "0.35": (60.3, 58.2, 55.7, 50.8, 45.5),
}


def card(
    name: str,
    top1_pct: float,
    params: float,
    madds: float,
    paper_ms: float | None,
    other_ms: float | None,
    source: Citation = PAPER,
) -> ModelCard:
    """Return a card whose headline figures come from `source`, with the release as a source that disagrees."""
    size = int(name.rsplit("_", 1)[-1])
    latency = [(paper_ms, source), (other_ms, RELEASE)]
    return ModelCard(
        name=name,
        family=name.split("_")[0],
        build="mnbench.zoo.none:build",
        arguments={},
        input_chw=(3, size, size),
        params=(Published(value=params, source=source),),
        madds=(Published(value=madds, source=source),),
        latency=tuple(PublishedLatency(latency_ms=ms, device=PIXEL, source=by) for ms, by in latency if ms is not None),
        accuracy=(
            Accuracy(dataset="ImageNet-1k", resolution=size, top1_pct=top1_pct, top5_pct=None, source=source),
            Accuracy(dataset="ImageNet-1k", resolution=size, top1_pct=top1_pct + 0.3, top5_pct=None, source=RELEASE),
        ),
    )


def paper_table() -> tuple[list[ModelCard], dict[str, float]]:
    """Return the six networks of the paper's table, and a latency in milliseconds for each."""
    return [card(*row[:6]) for row in TABLE], {row[0]: row[6] for row in TABLE}


def v2_grid() -> tuple[list[ModelCard], dict[str, float]]:
    """Return the 22 released points of MobileNetV2, and a latency in milliseconds for each."""
    cards, latency_ms = [], {}
    for width, accuracies in GRID_TOP1.items():
        for size, top1_pct in zip((224, 192, 160, 128, 96), accuracies, strict=False):
            name, madds = f"mobilenet_v2_{width}_{size}", 300e6 * float(width) ** 1.6 * (size / 224) ** 2
            cards.append(card(name, top1_pct, 3.5e6 * float(width), madds, madds / 4e6, None, RELEASE))
            latency_ms[name] = 0.35 + 5.9 * madds / 300e6
    return cards, latency_ms


def v1_grid() -> tuple[list[ModelCard], dict[str, float]]:
    """Return 16 points of MobileNetV1, which has no published latency."""
    cards, latency_ms = [], {}
    for width in (1.0, 0.75, 0.5, 0.25):
        for size in (224, 192, 160, 128):
            name, madds = f"mobilenet_v1_{width}_{size}", 569e6 * width**2 * (size / 224) ** 2
            cards.append(card(name, 41 + 29 * (madds / 569e6) ** 0.25, 4.2e6 * width, madds, None, None, RELEASE))
            latency_ms[name] = 0.3 + 8.7 * madds / 569e6
    return cards, latency_ms


def make_run(
    cards: Sequence[ModelCard] | None = None,
    latency_ms: dict[str, float] | None = None,
    *,
    backends: Sequence[str] = ("ort", "openvino"),
    baseline: str = BASELINE,
    cpu_model: str = LONG_CPU,
    null: bool = True,
    width_pct: float = 1.2,
) -> tuple[Run, Analysis]:
    """Return a run and its analysis: every network in every backend, intervals of ± `width_pct` per cent."""
    if cards is None or latency_ms is None:
        cards, latency_ms = paper_table()
    speed = {"ort": 1.0, "openvino": 0.82, "torch": 2.1, "null": 1.0}
    noise = random.Random(7)
    cases = [Case(model=card.name, backend=backend) for card in cards for backend in backends]
    values = {case.id: latency_ms[case.model] * speed.get(case.backend, 1.4) * noise.uniform(0.93, 1.07) for case in cases}
    if null:
        cases.append(Case(model="none", backend="null"))
        values[cases[-1].id] = 0.00042
    models = tuple(model_of(card) for card in cards)
    plan = Plan(cases=tuple(cases), models=models, baseline=baseline, launches=6, cpus=(0,), seed=20)
    run = Run(
        id="20260801-101500-v2-table",
        started_utc="2026-08-01T10:15:00Z",
        finished=True,
        measuring_s=88.4,
        environment=environment(cpu_model),
        plan=plan,
        artifacts=tuple(artifact(card) for card in cards),
        facts=tuple(facts_of(card) for card in cards),
        samples=tuple(samples(case, launch, values[case.id]) for case in cases for launch in range(2)),
    )
    return run, make_analysis(run, values, width_pct)


def model_of(card: ModelCard) -> Model:
    """Return the model of a network of the catalog."""
    return Model(id=card.name, title=card.name, source=Source(scheme="catalog", locator=card.name), card=card)


def make_analysis(run: Run, values: dict[str, float], width_pct: float) -> Analysis:
    """Return the analysis that `values` (milliseconds by case id) would give."""
    by_id = {case.id: case for case in run.plan.cases}
    results = []
    for case in run.plan.cases:
        base = by_id.get(replace(case, model=run.plan.baseline).id)
        compared = comparison(case, base, values, width_pct) if base is not None and base != case else None
        value_ns = values[case.id] * 1e6
        results.append(
            CaseResult(
                case=case,
                latency_ns=estimate(value_ns, width_pct),
                percentiles={90.0: estimate(value_ns * 1.03, 2 * width_pct), 99.0: None},
                launches=6,
                samples=480,
                vs_baseline=compared,
            )
        )
    first: dict[str, Case] = {}
    pairs = [(case, first.setdefault(case.model, case)) for case in run.plan.cases]
    between = [comparison(case, other, values, width_pct) for case, other in pairs if case != other]
    return Analysis(results=tuple(results), between_backends=tuple(between), caveats=run.caveats)


def comparison(case: Case, baseline: Case, values: dict[str, float], width_pct: float) -> Comparison:
    """Return the comparison of two cases: a verdict as soon as the interval leaves 1 out."""
    ratio = estimate(values[case.id] / values[baseline.id], width_pct)
    verdict = Verdict.FASTER if ratio.high < 1 else Verdict.SLOWER if ratio.low > 1 else Verdict.INCONCLUSIVE
    return Comparison(case=case, baseline=baseline, ratio=ratio, p_adjusted=0.0012, verdict=verdict)


def estimate(value: float, width_pct: float) -> Estimate:
    """Return `value` with an interval of ± `width_pct` per cent."""
    half = value * width_pct / 100
    return Estimate(value=value, low=value - half, high=value + half, level=0.95, method="t, log launches")


def environment(cpu_model: str) -> Environment:
    """Return an imagined host."""
    return Environment(
        cpu_model=cpu_model,
        isa=("avx2", "avx512f", "amx_tile"),
        logical_cpus=4,
        physical_cores=2,
        affinity=(0, 1),
        cpu_budget=2,
        cpu_budget_reason="physical cores",
        memory_bytes=8 * 2**30,
        virtualisation="kvm",
        governor=None,
        kernel="6.1.0",
        python="3.11.9",
        packages={"onnxruntime": "1.32.0", "openvino": "2026.4.0"},
        variables={"OMP_NUM_THREADS": "1"},
    )


def a_spec(model: str, **changes: Any) -> ExportSpec:
    """Return what is exported of a network of the catalog."""
    fields: dict[str, Any] = {"precision": "fp32", "batch": 1, "opset": 18, "seed": 0}
    return ExportSpec(model=model, source=Source(scheme="catalog", locator=model), **{**fields, **changes})


def spec_of(case: Case, *, seed: int = 0) -> ExportSpec:
    """Return what is exported for a case of the catalog."""
    return a_spec(case.model, batch=case.batch, seed=seed)


def artifact(card: ModelCard) -> Artifact:
    """Return an exported file of the network, with counts beside the published ones."""
    return Artifact(
        explained_rel_error={"fp32": 1e-3},
        spec=a_spec(
            card.name,
        ),
        format=Format.ONNX,
        path=f"{card.name}.onnx",
        sha256={f"{card.name}.onnx": "0" * 64},
        size_bytes=14_000_000,
        exporter="torch 2.13",
        max_abs_error=2e-6,
        max_rel_error=1e-6,
        feed_path=f"{card.name}.npz",
    )


def facts_of(card: ModelCard) -> ModelFacts:
    """Return counts beside the published ones."""
    return ModelFacts(model=card.name, params=int(card.params[0].value) + 17, madds=int(card.madds[0].value) + 1)


def samples(case: Case, launch: int, latency_ms: float) -> Samples:
    """Return one launch of two small rounds."""
    latency_ns = int(latency_ms * 1e6)
    rounds = tuple(
        Round(
            index=index,
            order=index,
            started_ns=0,
            settle_ns=(latency_ns * 2,),
            latencies_ns=(latency_ns - 1000, latency_ns, latency_ns + 1000),
            wall_ns=3 * latency_ns,
            cpu_ns=3 * latency_ns,
            idle_cpu_ns=0,
            voluntary_switches=0,
            involuntary_switches=0,
            run_queue_wait_ns=0,
            steal_ns=0,
            foreign_cpu_ns=0,
            pressure_us=None,
            throttled_ns=None,
        )
        for index in range(2)
    )
    real = case.backend != "null"
    return Samples(
        case=case,
        launch=launch,
        effective={"threads": str(case.threads), "precision": "f32", "version": "1.0"},
        import_ns=1,
        load_ns=1,
        first_ns=2 * latency_ns,
        max_abs_error=3.1e-6 if real else None,
        max_rel_error=1e-6 if real else None,
        rounds=rounds,
    )


def with_caveat(analysis: Analysis, subject: str) -> Analysis:
    """Return the analysis with one more caveat about `subject`."""
    caveat = Caveat(
        code="interval-wide",
        subject=subject,
        observed="the interval is ± 6.3 % of the median",
        advice="raise --budget, or stop what else runs on this machine",
    )
    return replace(analysis, caveats=(*analysis.caveats, caveat))


def without_interval(run: Run, analysis: Analysis, *case_ids: str) -> tuple[Run, Analysis]:
    """Return the run with one launch of each case named, too few for an interval."""
    kept = tuple(s for s in run.samples if s.case.id not in case_ids or s.launch == 0)
    results = tuple(_one_launch(result) if result.case.id in case_ids else result for result in analysis.results)
    return replace(run, samples=kept), replace(analysis, results=results)


def with_failure(run: Run, analysis: Analysis, case_id: str, reason: str = "killed by signal 9") -> tuple[Run, Analysis]:
    """Return the run with every launch of one case failed."""
    case = next(case for case in run.plan.cases if case.id == case_id)
    failure = LaunchFailure(case=case, launch=0, reason=reason, log_tail="loading\nout of memory")
    run, analysis = without_interval(run, analysis, case_id)
    kept = tuple(s for s in run.samples if s.case.id != case_id)
    results = tuple(
        replace(result, launches=0, samples=0, percentiles=dict.fromkeys(result.percentiles))
        if result.case.id == case_id
        else result
        for result in analysis.results
    )
    return replace(run, samples=kept, failures=(failure,)), replace(analysis, results=results)


def _one_launch(result: CaseResult) -> CaseResult:
    compared = result.vs_baseline
    if compared is not None:
        compared = replace(compared, ratio=None, p_adjusted=None, verdict=Verdict.INCONCLUSIVE)
    return replace(result, latency_ns=None, launches=1, samples=6, vs_baseline=compared)
