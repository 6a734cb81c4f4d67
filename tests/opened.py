"""Bring models to runtimes as a command does, below the command line: looked at, exported in children, opened in workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnbench import backends, environment, sources
from mnbench.commands.compare import spec_of
from mnbench.errors import MnbenchError
from mnbench.export import ensure_each
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenReply, OpenRequest, RoundRequest
from mnbench.records import Artifact, Case, Model
from tests.conftest import a_plan

RUNTIMES = ("ort", "openvino")
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a model in a runtime: opened and run, or the reason why not."""

    artifact: Artifact | None = None
    reply: OpenReply | None = None
    failed: str = ""

    @property
    def remarks(self) -> dict[str, str]:
        found = (*(self.artifact.remarks if self.artifact else ()), *(self.reply.remarks if self.reply else ()))
        return {remark.code: remark.observed for remark in found}


def cases_of(models: Sequence[Model], runtimes: Sequence[str] = RUNTIMES, batch: int = 1) -> tuple[Case, ...]:
    return tuple(
        Case(model=model.id, backend=name, precision=model.precision, batch=batch) for model in models for name in runtimes
    )


def outcomes(
    models: Sequence[Model], cache: Path, *, runtimes: Sequence[str] = RUNTIMES, batch: int = 1, timeout_s: float = PATIENCE_S
) -> Mapping[tuple[str, str], Outcome]:
    """Return by (id of the model, backend) what became of each. One worker per runtime opens them in turn, while it lives."""
    cases = cases_of(models, runtimes, batch)
    plan = a_plan(*cases, models=tuple(models), cpus=environment.choose_cpus(1))
    wanted = {case: (spec_of(case, plan), backends.get(case.backend).format) for case in cases}
    exports = ensure_each(wanted.values(), cache, timeout_s=timeout_s)
    workers: dict[str, Worker] = {}
    found = {}
    try:
        for case, pair in wanted.items():
            if pair in exports.failed:
                found[case.model, case.backend] = Outcome(failed=exports.failed[pair])
                continue
            worker = workers.get(case.backend)
            if worker is None or not worker.alive():
                worker = workers[case.backend] = Worker(case, cache / f"{case.id}.log")
            found[case.model, case.backend] = _opened(worker, case, exports.made[pair], cache, plan.cpus)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def _opened(worker: Worker, case: Case, artifact: Artifact, cache: Path, cpus: tuple[int, ...]) -> Outcome:
    try:
        reply = worker.open(OpenRequest(case=case, artifact=artifact, cache=str(cache), cpus=cpus), PATIENCE_S)
        worker.round(RoundRequest(settle_ms=0.0, target_ms=0.1), PATIENCE_S)
    except MnbenchError as error:
        return Outcome(artifact=artifact, failed=str(error))
    return Outcome(artifact=artifact, reply=reply)


def look(*texts: object, **shapes: tuple[int, ...]) -> tuple[Model, ...]:
    return sources.resolve([str(text) for text in texts], shapes)
