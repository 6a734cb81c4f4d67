"""Fixtures for timing sessions under pytest-benchmark: `mnbench_session` opens a network, pinned, checked and warm.

Figures of one process are for noticing that something became slower (see README), not for ranking: `mnbench compare` does that.
Imports nothing heavy until a test asks for a session, because pytest loads every plugin it finds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from mnbench.backends import Session
    from mnbench.measure.messages import OpenReply

    class OpenSession(Protocol):
        def __call__(
            self, model: str, backend: str, *, batch: int = 1, shapes: Mapping[str, tuple[int, ...]] | None = None
        ) -> tuple[Session, OpenReply]: ...


SETTLE_NS = 100_000_000


@pytest.fixture(scope="session")
def mnbench_cache() -> Path:
    """The cache of exported networks: $MNBENCH_CACHE, or `models`."""
    return Path(os.environ.get("MNBENCH_CACHE", "models"))


@pytest.fixture
def mnbench_session(mnbench_cache: Path) -> Iterator[OpenSession]:
    """Return a function (model, backend) → (session, what was read back), with this process pinned to one CPU.

    The model is anything that `mnbench compare --models` takes; `shapes` are the sizes of inputs that it leaves open, by name.
    Exports what the cache lacks. The affinity is restored and the sessions are closed afterwards.
    Raises UsageError for a model that cannot be measured, ExportError or WorkerError for one that fails.
    """
    from mnbench import backends, environment, sources
    from mnbench.commands.compare import spec_of
    from mnbench.export import ensure_all
    from mnbench.measure import timing
    from mnbench.measure.messages import OpenRequest
    from mnbench.measure.worker import open_session, pin
    from mnbench.records import Case, Plan

    affinity = os.sched_getaffinity(0)
    opened: list[Session] = []

    def open_network(
        model: str, backend: str, *, batch: int = 1, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> tuple[Session, OpenReply]:
        (found,) = sources.resolve([model], shapes)
        case = Case(model=found.id, backend=backend, precision=found.precision, batch=batch)
        the_plan = Plan(cases=(case,), models=(found,), baseline=found.id, launches=1, cpus=environment.choose_cpus(1))
        runtime = backends.require(backend, "fp32" if case.precision in backends.AS_FILED else case.precision)
        kind = runtime.format
        os.environ.update({name: value.format(threads=case.threads) for name, value in runtime.environment.items()})
        wanted = (spec_of(case, the_plan), kind)
        artifact = ensure_all([wanted], mnbench_cache)[wanted]
        request = OpenRequest(case=case, artifact=artifact, cache=str(mnbench_cache), cpus=the_plan.cpus)
        session, reply = open_session(request)
        opened.append(session)
        timing.time_for(session.run, SETTLE_NS)
        return session, reply

    try:
        yield open_network
        for session in opened:
            session.close()
    finally:
        pin(affinity)
