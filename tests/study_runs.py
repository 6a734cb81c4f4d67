"""Hand-made runs of studies, with known latencies, and ways to look at what was concluded."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mnbench import catalog
from mnbench.records import Artifact, Case, Estimate, Format, ModelFacts, Run
from mnbench.records.study import Finding
from tests.builders import a_spec, model_of
from tests.conftest import a_launch, a_plan, a_round, a_run

Key = tuple[Any, ...]
"""(model, backend), or with threads and batch."""


def a_study_run(
    latency_ms: Mapping[Key, float | None],
    madds: Mapping[str, int],
    *,
    launches: int = 6,
    spread: float = 0.002,
    noisy: Collection[Key] = (),
    **changes: Any,
) -> Run:
    """Return a run in which each case took `latency_ms` in every launch, up to a drift of launches and a noise of `spread`.

    None is a case that was planned and not measured. Of a `noisy` one, every second launch was disturbed.
    """
    cases = {key: a_key_case(*key) for key in latency_ms}
    rng = np.random.default_rng(7)
    drift = rng.normal(0, 0.02, launches)
    samples = []
    for place, (key, ms) in enumerate(latency_ms.items()):
        for launch in range(launches) if ms is not None else ():
            latency_ns = round(1e6 * ms * math.exp(drift[launch] + rng.normal(0, spread)))
            marks = ("busy",) if key in noisy and launch % 2 else ()
            made = a_round([latency_ns], order=launch * len(cases) + place, disturbances=marks)
            samples.append(a_launch(cases[key], launch, made))
    models = tuple(model_of(catalog.card(model)) for model in dict.fromkeys(key[0] for key in cases))
    plan = a_plan(*cases.values(), models=models, sweep=True, regimes=("steady",))
    artifacts = tuple(an_artifact(model, madds[model]) for model in dict.fromkeys(key[0] for key in cases) if model in madds)
    return a_run(plan, *samples, **{"artifacts": artifacts, **changes})


def a_key_case(model: str, backend: str, threads: int = 1, batch: int = 1) -> Case:
    return Case(model=model, backend=backend, threads=threads, batch=batch)


COUNTS = ("params", "layers", "uncounted", "denormal_weights", "denormal_activations")


def an_artifact(model: str, madds: int, **changes: Any) -> Artifact:
    fields: dict[str, Any] = {
        "spec": a_spec(model), "format": Format.ONNX,
        "path": f"{model}.onnx", "sha256": {}, "size_bytes": 1, "exporter": "none", "max_abs_error": 0.0, "max_rel_error": 0.0,
        "explained_rel_error": {"fp32": 1e-3}, "feed_path": "",
    }  # fmt: skip
    counted = {"params": 1_000_000, "madds": madds} | {name: changes.pop(name) for name in COUNTS if name in changes}
    return Artifact(**{**fields, "facts": ModelFacts(model=model, **counted), **changes})


def figure_of(finding: Finding, label: str) -> Estimate:
    """Return the estimate of the figure with that label."""
    return next(figure.estimate for figure in finding.figures if figure.label == label)


def only_row(rows: Iterable[Any], **wanted: Any) -> Any:
    """Return the one row whose fields have these values."""
    (row,) = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    return row
