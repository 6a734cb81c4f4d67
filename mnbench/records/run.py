"""What was measured: everything of one execution of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnbench.records.host import Environment
from mnbench.records.model import Artifact, ModelCard, ModelFacts, Remark, Replica
from mnbench.records.plan import Case, Layout, Plan
from mnbench.records.result import Caveat, Ceilings

SCHEMA_VERSION = 1
"""Version of run.json. A reader refuses any other version rather than guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One uninterrupted block of inferences, with what the kernel saw meanwhile; None is what it does not tell."""

    index: int
    """Position of this round within its launch, from 0."""
    order: int
    """Position of this round within the whole run, from 0: the order in which rounds really took place."""
    started_ns: int
    """Monotonic clock at the first inference, relative to the start of the run."""
    settle_ns: tuple[int, ...]
    """Latencies while the transient lasted (of round 0: the warm-up). Kept, never used in a steady figure."""
    latencies_ns: tuple[int, ...]
    waited_ns: int = 0
    """How long the round waited for a quiet CPU before it began."""
    wall_ns: int
    """Duration of the measured part."""
    cpu_ns: int
    """CPU time of the worker process (all threads) in the measured part."""
    idle_cpu_ns: int
    """CPU time the worker used while it waited for this round: must be next to nothing."""
    voluntary_switches: int
    involuntary_switches: int
    page_faults: int | None = None
    """Minor faults of the worker process in the measured part. None in runs stored before they were counted, too."""
    run_queue_wait_ns: int | None
    steal_ns: int | None
    """Time stolen by the hypervisor from the measured CPUs."""
    foreign_cpu_ns: int | None
    """CPU time on the measured CPUs that was not this worker's."""
    other_cpus_ns: int | None = 0
    """CPU time on the machine's other CPUs, all together."""
    busy_threads: int | None = 1
    """Threads of the worker that ran for more than a twentieth of the measured part."""
    busiest_ns: int | None = None
    """CPU time of the worker's thread that ran most; None where it is unknown."""
    pressure_us: int | None
    """Growth of `some` CPU pressure of the system, where the kernel tells it."""
    throttled_ns: int | None
    """Growth of the cgroup's throttled time, where there is a quota."""
    workload_before_ns: int | None = None
    workload_after_ns: int | None = None
    """Time of the reference workload just before and just after the measured part. None in runs stored before it was timed."""
    stream_before_ns: int | None = None
    stream_after_ns: int | None = None
    """Time of the reference stream, outside all that is measured. None where it was not timed: in cold rounds and in sweeps."""
    regime: str = "steady"
    """`steady`: back to back. `cold`: each inference after `Plan.evict_bytes` of other memory was read and written."""
    disturbances: tuple[str, ...] = ()
    """Why the round is not used; empty for a good round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What one launch of one case yielded."""

    case: Case
    launch: int
    block: int = 0
    effective: Mapping[str, str]
    """Settings as the runtime states them: read back, not requested."""
    import_ns: int
    """Time to import the runtime."""
    load_ns: int
    """Time from the file on disk to a session that can run."""
    first_ns: int
    """Latency of the very first inference."""
    max_abs_error: float | None
    """Largest absolute difference between this session's outputs and the reference's; None where there are none to compare."""
    max_rel_error: float | None
    remarks: tuple[Remark, ...] = ()
    """What was found when the model was opened and had run once."""
    layout: Layout | None = None
    """None in runs stored before it was drawn."""
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process of a case holds, from a launch of its own that is not timed."""

    case: Case
    launch: int = 0
    imported_bytes: int
    """Resident when the runtime was imported and nothing was opened."""
    peak_bytes: int
    """Largest resident size after the model was opened and has run."""

    @property
    def above_runtime_bytes(self) -> int:
        return max(0, self.peak_bytes - self.imported_bytes)


BEFORE_LAUNCH = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFailure:
    """A launch that gave no usable figures, and why."""

    case: Case
    launch: int
    """`BEFORE_LAUNCH` where the model could not be brought to the backend at all."""
    reason: str
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another program that used the CPUs while a run was measured."""

    name: str
    busy_cpus: float
    """CPU time over the time of the run."""
    resident_bytes: int | None
    """Memory that it held in the end; None where it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a plan: all that its directory holds."""

    schema_version: int = SCHEMA_VERSION
    id: str
    started_utc: str
    finished: bool
    measuring_s: float
    environment: Environment
    plan: Plan
    artifacts: tuple[Artifact, ...]
    facts: tuple[ModelFacts, ...] = ()
    """Of each model that was brought to a runtime, once."""
    replicas: tuple[Replica, ...] = ()
    """Further files of the artefacts, which launches use in turn."""
    samples: tuple[Samples, ...] = ()
    failures: tuple[LaunchFailure, ...] = ()
    memory: tuple[Memory, ...] = ()
    neighbours: tuple[Neighbour, ...] | None = None
    """Programs that ran beside all of the (resumed) run, the busiest first; None where they are unknown."""
    caveats: tuple[Caveat, ...] = ()
    ceilings: Ceilings | None = None
    """Of this host, from an earlier run; None when there was none. A run of probes has its own in its samples."""

    def facts_of(self, model: str) -> ModelFacts | None:
        """Return what was counted of a model; None where it could not be brought to any runtime."""
        return next((facts for facts in self.facts if facts.model == model), None)

    @property
    def models(self) -> tuple[ModelCard, ...]:
        """The cards of the catalog's networks among the run's models."""
        return tuple(model.card for model in self.plan.models if model.card is not None)

    def unmeasured(self) -> tuple[Case, ...]:
        """Return the planned cases of which there is not one round, or, where memory alone is planned, no reading."""
        measured = {samples.case for samples in self.samples if samples.rounds}
        if "steady" not in self.plan.regimes:
            measured |= {memory.case for memory in self.memory}
        return tuple(case for case in self.plan.cases if case not in measured)
