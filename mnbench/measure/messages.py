"""What parent and worker say to each other: one JSON document a line, on two pipes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from mnbench.records import Artifact, Case, Layout, Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The worker's first word: the interpreter is up, no runtime is imported yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """Pin yourself, import the runtime, open the artefact, check it, and say what the runtime says.

    What was open before is closed first: in a sweep one process opens many artefacts in turn.
    """

    case: Case
    artifact: Artifact | None
    cache: str
    """Folder the artefact's paths are relative to."""
    cpus: tuple[int, ...]
    layout: Layout = field(default_factory=Layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRequest:
    """Time back-to-back inferences for `target_ms`; or, with `cold_samples`, so many, each after evicting the caches."""

    settle_ms: float
    target_ms: float
    quiet_ns: int | None = None
    """Wait until the reference workload takes no longer than this, but not for more than `patience_ms`."""
    patience_ms: float = 0.0
    cold_samples: int = 0
    evict_bytes: int = 0
    least: int = 1
    most: int = 2_000
    """Inferences of the measured part, whatever the target."""
    stream: bool = False
    """Time the reference stream as well, on both sides of all that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReply:
    effective: Mapping[str, str]
    import_ns: int
    load_ns: int
    first_ns: int
    imported_bytes: int | None
    peak_bytes: int | None
    """None where the kernel does not tell how much memory a process holds."""
    max_abs_error: float | None
    max_rel_error: float | None
    ended_ns: int
    """The worker's monotonic clock, which on Linux is the parent's too."""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReply:
    """A round as the worker saw it; the parent adds its place in the run."""

    started_ns: int
    ended_ns: int
    """Both by the worker's monotonic clock, which on Linux is the parent's too."""
    settle_ns: tuple[int, ...]
    latencies_ns: tuple[int, ...]
    waited_ns: int
    wall_ns: int
    cpu_ns: int
    idle_cpu_ns: int
    voluntary_switches: int
    involuntary_switches: int
    page_faults: int | None
    run_queue_wait_ns: int | None
    steal_ns: int | None
    foreign_cpu_ns: int | None
    other_cpus_ns: int | None
    busy_threads: int | None
    busiest_ns: int | None
    pressure_us: int | None
    throttled_ns: int | None
    workload_before_ns: int
    workload_after_ns: int
    stream_before_ns: int | None = None
    stream_after_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The worker's last word: why it cannot give figures."""

    reason: str


Message = Started | OpenRequest | RoundRequest | OpenReply | RoundReply | Failed


class _Tagged(msgspec.Struct, frozen=True):
    kind: str
    body: msgspec.Raw


_KINDS: Mapping[str, type[Message]] = {
    kind.__name__: kind for kind in (Started, OpenRequest, RoundRequest, OpenReply, RoundReply, Failed)
}


def encode(message: Message) -> bytes:
    """Return the message as one line."""
    body = msgspec.Raw(msgspec.json.encode(message))
    return msgspec.json.encode(_Tagged(type(message).__name__, body)) + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of a line. Raises msgspec.DecodeError for anything else."""
    tagged = msgspec.json.decode(line, type=_Tagged)
    if tagged.kind not in _KINDS:
        raise msgspec.DecodeError(f"unknown message {tagged.kind!r}")
    return msgspec.json.decode(tagged.body, type=_KINDS[tagged.kind])
