"""The central types: frozen records that every layer shares.

Standard library only, so that anything may import them. Names carry their unit. All times are integer nanoseconds read from
one monotonic clock unless the name says otherwise.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mnbench.errors import UsageError
from mnbench.host_records import Cache as Cache
from mnbench.host_records import CpuKind as CpuKind
from mnbench.host_records import Environment as Environment

SCHEMA_VERSION = 1
"""Version of run.json. A reader refuses any other version rather than guess."""


class Format(StrEnum):
    """The formats that mnbench knows itself; other packages add theirs by name (`mnbench.converters`).

    The last three are no files of ours: they are what a source of models gives, and where a search for a way to a backend's
    format begins.
    """

    ONNX = "onnx"
    OPENVINO_IR = "openvino-ir"
    TORCH_STATE = "torch-state"
    PROBE = "probe"
    NONE = "none"
    TORCH_MODULE = "torch-module"
    ONNX_FILE = "onnx-file"
    IR_FILE = "openvino-ir-file"


class Verdict(StrEnum):
    """What a comparison lets one say. `ratio` below 1 is faster than the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    TOO_NOISY = "machine too noisy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a published figure stands."""

    key: str
    title: str
    year: int
    url: str
    locator: str = ""

    @property
    def short(self) -> str:
        return f"{self.key}, {self.locator}" if self.locator else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published count (parameters, multiply-adds) with its source."""

    value: float
    source: Citation


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedLatency:
    """A published latency: never reproduced as milliseconds, only as a ratio to another row of the same source."""

    latency_ms: float
    device: str
    source: Citation


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A published accuracy. It belongs to one set of weights at one resolution, and to its source."""

    dataset: str
    resolution: int
    top1_pct: float
    top5_pct: float | None
    source: Citation


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One network of the catalog. Every tuple of published figures has its headline first; the others disagree, and stay."""

    name: str
    family: str
    build: str
    """`module:function` that returns the torch module; called with `arguments`."""
    arguments: Mapping[str, float | int | str]
    input_chw: tuple[int, int, int]
    params: tuple[Published, ...] = ()
    madds: tuple[Published, ...] = ()
    latency: tuple[PublishedLatency, ...] = ()
    accuracy: tuple[Accuracy, ...] = ()
    weights: str | None = None
    license: str = ""
    packages: tuple[str, ...] = ()
    """Beside torch, whose code it is built with."""

    @property
    def resolution(self) -> int:
        return self.input_chw[1]


BATCH = "batch"
"""In `TensorSpec.dims`: the axis that `Case.batch` fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    dtype: str
    """As numpy names it (float32, int64, bool …), or bfloat16; empty where only the shape was given."""
    dims: tuple[int | str, ...]
    """Numbers; `BATCH`; or a symbol: of an output, whose size is known only after running."""
    filled: str = ""
    """Of an artefact's input: where its numbers come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model comes from."""

    scheme: str
    """A name of the registry `mnbench.sources`: catalog, onnx, ir, pt2, timm, torchvision, python …"""
    locator: str
    """What that source finds it by: a name, an absolute path, `FILE.py:FUNCTION`."""
    sha256: str = ""
    """Of the content, where the model is a file; empty where a builder's code decides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the user named, looked at once. Cases name it by its id; workers and exporters are given what they need of it."""

    id: str
    """Safe in file names and in CSV files, unique within a run: what tables call the model."""
    title: str
    """As the user named it."""
    source: Source
    inputs: tuple[TensorSpec, ...] = ()
    """As far as they are known before the model is opened: of a torch module only the shapes that were asked for."""
    precision: str = "fp32"
    """Of a file that is quantised already, int8: what an ordinary run of it computes in."""
    card: ModelCard | None = None
    """What was published about it; None for a model that the catalog does not have."""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something to know about a model or a file, found when it was looked at, opened or run: becomes a caveat."""

    code: str
    observed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """Data of the user's to measure with (`--input`)."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """Everything that decides an artefact's content. Equal specs give equal cache keys."""

    model: str
    precision: str
    batch: int
    opset: int
    seed: int
    source: Source
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """(name, sizes) of inputs; those that are not named have the source's own."""
    data: DataFile | None = None
    node_order: int = 0
    """0: the nodes of the graph stand as the exporter wrote them. Others are seeds of another topological order."""

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The sizes of `shapes` by the name of the input."""
        return dict(self.shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """What one layer that multiplies and adds costs for one image. Normalisation is folded into it and costs nothing."""

    name: str
    """Dotted name of the torch module."""
    kind: str
    """`standard`, `depthwise`, `pointwise`, `grouped`, `linear` or `other`."""
    params: int
    madds: int
    input_elements: int
    output_elements: int
    output_shape: tuple[int, ...]
    padding_madds: int = 0
    """Of `madds`, those with the zeros of the padding, which a kernel may leave out. 0 in runs older than this count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file that a runtime opens, and how far its outputs are from its reference on the stored feed."""

    spec: ExportSpec
    format: str
    """A `Format`, or one that another package adds."""
    path: str
    """Main file, relative to the cache folder (OpenVINO's weights lie beside it); absolute for the user's own file."""
    sha256: Mapping[str, str]
    """Digest of each file of the artefact, by name relative to the cache folder."""
    size_bytes: int
    exporter: str
    max_abs_error: float
    max_rel_error: float
    """max |y - r| / max |r| over the stored feed and all outputs, r being the reference's; 0 without a reference."""
    explained_rel_error: Mapping[str, float]
    """By precision: the largest relative difference from the reference that computing in it explains."""
    feed_path: str
    """.npz beside it with the arrays `input_0` … and, where there is a reference, its answers `output_0` …"""
    params: int
    madds: int
    inputs: tuple[TensorSpec, ...] = ()
    """In the order of the arrays of the feed, with their sizes."""
    outputs: tuple[TensorSpec, ...] = ()
    """Likewise; a size that is known only after running is a symbol. Empty where no reference could tell them."""
    reference: str = "torch"
    """What computed the answers of the feed; empty where nothing could, and outputs are not compared."""
    strict: bool = True
    """Outputs beyond what is explained are an error. Of a user's model they are a caveat: nobody knows which is right."""
    remarks: tuple[Remark, ...] = ()
    denormal_weights: int = 0
    denormal_activations: int = 0
    """Values too small for a normal float32, in the weights and in what the layers put out for the stored feed."""
    uncounted: tuple[str, ...] = ()
    """Operators the MAdds counter met and cannot count."""
    layers: tuple[LayerCost, ...] = ()
    """The layers that multiply and add, in the order of execution. Empty in runs stored before they were kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """Another file of an artefact, with its nodes in another order: what of it is not in the artefact's own record."""

    of: str
    """`Artifact.path` of the file with node order 0."""
    node_order: int
    path: str
    sha256: Mapping[str, str]
    max_abs_error: float
    max_rel_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What of a launch's memory is drawn anew for each launch, so that it is part of the spread between launches."""

    input_offset_bytes: int = 0
    output_offset_bytes: int = 0
    """Where the buffers begin behind a page of 4 KiB. A backend that does not own its output (torch) ignores the second."""
    environment_bytes: int = 0
    """Length of the padding in the worker's environment, which moves its stack."""
    node_order: int = 0
    """`ExportSpec.node_order` of the file that was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The identity of a measurement."""

    model: str
    backend: str
    precision: str = "fp32"
    batch: int = 1
    threads: int = 1
    variant: str = ""
    """Tells apart cases that are otherwise one: the copies and planted slow-downs of `mnbench selftest`."""
    environment: str = ""
    """Label of the `ToolEnvironment` whose runtime or artefacts are measured; empty where the plan has none."""

    @property
    def id(self) -> str:
        name = f"{self.model}-{self.backend}-{self.precision}-b{self.batch}-t{self.threads}"
        return "-".join(part for part in (name, self.variant, self.environment) if part)

    @property
    def planted_pct(self) -> float:
        """The slow-down in per cent that a variant such as `slow3` asks for, else 0. Raises UsageError above 100."""
        match = re.fullmatch(r"slow(\d+(?:\.\d+)?)", self.variant)
        pct = float(match[1]) if match else 0.0
        if pct > 100:
            raise UsageError(f"a planted slow-down of {pct:g} % is more than the 100 % that can be asked for.")
        return pct


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnvironment:
    """Where the workers of some cases find their runtime or their artefacts: `mnbench compare --env LABEL=PATH`."""

    label: str
    """File-safe, and part of the id of each of its cases."""
    python: str = ""
    """Interpreter of its workers; empty for the one that runs mnbench."""
    artifacts: str = ""
    """Folder of exported artefacts; empty for the cache of the run."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Version of `python` and of each distribution that a worker needs, as that interpreter states them."""


NULL_BACKEND = "null"
"""The backend that does nothing: its case times the harness."""

REGIMES = ("steady", "cold", "first", "load", "memory")
"""What can be known of a case, each a figure of its own: latency back to back; latency after the caches served something else;
the very first inference; time from file to session; memory."""

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
"""Of the steady latency: those that can be asked for, each with columns of its own."""
DEFAULT_PERCENTILES = (90.0, 99.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured, in which order rule, on which CPUs, and when to stop."""

    cases: tuple[Case, ...]
    baseline: str
    """Id of the model whose case in the same backend, precision, batch and threads is the denominator of `ratio`."""
    models: tuple[Model, ...] = ()
    """What the cases measure. Studies name networks of the catalog alone; those are added before anything is made."""
    data: DataFile | None = None
    """The user's data, which every model with inputs of such names is run on."""
    launches: int
    """Most launches per case. Fewer are made when the budget ends first."""
    rounds_per_launch: int = 3
    """Visits of a launch, spread over its wave: what the machine does for a second or so then hits one of them."""
    round_target_ms: float = 100.0
    settle_ms: float = 20.0
    """At the start of a round: what a switch of models costs is over (docs/methodology.md). Stored, not used in any figure."""
    cpus: tuple[int, ...]
    cpu_sets: tuple[tuple[int, ...], ...] = ()
    """CPUs that waves take in turn; empty where all waves run on `cpus`."""
    seed: int = 0
    budget_s: float = 90.0
    target_ci_pct: float | None = None
    timeout_s: float = 120.0
    level: float = 0.95
    equivalence_pct: float = 2.0
    regimes: tuple[str, ...] = ("steady", "cold")
    evict_bytes: int = 64 << 20
    """Memory read and written before each cold inference: twice the last-level cache, 256 MiB at most."""
    cold_samples: int = 4
    """Cold inferences of a launch."""
    cold_launches: int = 3
    """Launches with an undisturbed cold round. The time of further ones goes to the steady latency: the ratios rest on it."""
    harness_launches: int = 3
    """Undisturbed launches of the case without an artefact, which times the harness itself."""
    blocks: int = 1
    """Parts of a run that are spread evenly over `over_s`."""
    over_s: float = 0.0
    """From the beginning of the first block to that of the last one."""
    speed_tolerance_pct: float = 20.0
    """A round is disturbed when the reference workload beside it took so much longer or shorter than usual. Smaller
    differences are not left out: that widened intervals on every host that was looked at (docs/methodology.md)."""
    quiet_only: bool = False
    """Leave out every round with load on other CPUs, also where it is the same in all rounds."""
    memory_launches: int = 1
    """Processes of each case in the memory regime: one is a reading, an interval needs three."""
    sweep: bool = False
    """A launch is one process per backend and thread count that opens each of its cases in turn: for grids of hundreds.
    Otherwise each case has a process of its own."""
    least_inferences: int = 1
    most_inferences: int = 2_000
    """Inferences of a round, whatever its target duration."""
    study: str = ""
    """The study this plan belongs to; empty for `mnbench compare`."""
    full_cases: int | None = None
    """Of a study's quick plan: how many cases the full plan has. None for a full plan, and in runs older than this count."""
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    """Of `PERCENTILES`, those to show. Runs stored before they could be chosen show the default."""
    environments: tuple[ToolEnvironment, ...] = ()
    """Environments to compare, the baseline first; empty where this one alone is measured. Each case is then compared with
    the same case in the first one, and with no other."""

    def model(self, case: Case) -> Model:
        """Return what a case measures. Raises KeyError for the case that times the harness, which runs no model."""
        return {model.id: model for model in self.models}[case.model]

    def tool_environment(self, case: Case) -> ToolEnvironment:
        """Return where a case finds its runtime and artefacts; for a case without a label this environment."""
        found = (known for known in self.environments if known.label == case.environment)
        return next(found, ToolEnvironment(label=case.environment))

    def going_on(self, run: object) -> str:
        """Return how a user goes on after the end of an unfinished `run` (its directory or id) of this plan."""
        if any(case.variant for case in self.cases):  # a part of a self-test says nothing
            return "begin again: mnbench selftest"
        return f"go on with: mnbench {'study' if self.study else 'compare'} --resume {shlex.quote(str(run))}"


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
class Estimate:
    """A number and its interval. There is no Estimate without one: where the data do not carry an interval, use None."""

    value: float
    low: float
    high: float
    level: float
    method: str

    @property
    def half_width_pct(self) -> float:
        """Half the width of the interval in per cent of the value."""
        return 50.0 * (self.high - self.low) / self.value

    def per(self, amount: float) -> Estimate:
        """Return the estimate divided by a known positive amount: 1e6 gives milliseconds of nanoseconds."""
        return replace(self, value=self.value / amount, low=self.low / amount, high=self.high / amount)

    def under(self, amount: float) -> Estimate:
        """Return a known positive amount divided by the (positive) estimate: a rate of a time, or 1 over a ratio."""
        return replace(self, value=amount / self.value, low=amount / self.high, high=amount / self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One case against another. `ratio` is case over baseline: 1.5 means the case takes 1.5 times as long."""

    case: Case
    baseline: Case
    ratio: Estimate | None
    """Of this run: what another run at the same time would show."""
    next_run: Estimate | None = None
    """Where the ratio of one further block of the run should lie at another time; only for a run in three blocks or more."""
    p_adjusted: float | None
    verdict: Verdict


class Severity(StrEnum):
    """How much a caveat matters: a note is good to know, a warning may spoil figures."""

    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """A warning as data: terminal, CSV and HTML all show it."""

    code: str
    subject: str
    observed: str
    advice: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most multiply-adds per second that any probe reached in one precision on so many cores."""

    precision: str
    threads: int
    kernel: str
    """The probe that reached it."""
    madds_per_s: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """The most bytes per second that any probe moved in one level of the memory hierarchy on so many cores."""

    level: int
    """1, 2, 3 …, of a cache; 0 for memory."""
    threads: int
    holds_bytes: int | None
    """Size of the level, all caches that the threads use together; None for memory."""
    kernel: str
    bytes_per_s: Estimate
    """Bytes read and bytes written, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What a machine can do at most, as measured by `mnbench study roofline`."""

    run_id: str
    """The run whose samples say so."""
    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    """Innermost level first, memory last; for each number of threads all levels or none."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What the raw samples of one case say. Derived by `mnbench.stats.analyse`, never stored as truth."""

    case: Case
    latency_ns: Estimate | None
    """Steady latency; None with fewer than three usable launches."""
    percentiles: Mapping[float, Estimate | None]
    """By per cent, those the plan asks for, in ns: of all steady rounds, disturbed ones included (`stats.percentiles`)."""
    launches: int
    """Usable launches."""
    samples: int
    """Usable samples."""
    vs_baseline: Comparison | None
    """None for the baseline itself, and where the baseline was not measured."""
    cold_ns: Estimate | None = None
    first_ns: Estimate | None = None
    load_ns: Estimate | None = None
    """From the file on disk to a session that can run; the runtime is imported already."""
    memory_bytes: int | None = None
    """Peak resident size above that of the imported runtime; the median, where it was read in several processes."""
    too_noisy: bool = False
    """So many of its rounds were disturbed that nothing is concluded from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Under which load on the CPUs beside the measured ones a run was made."""

    rule: str
    """`quiet`: rounds with load on other CPUs are left out. `steady-load`: the load was the same in all rounds, and those with
    another load are left out."""
    busy_cpus: float = 0.0
    presses: str = ""
    """Why the load may press on the memory, so that no ratio is concluded from; empty where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything the reports show that is not in the raw files."""

    results: tuple[CaseResult, ...]
    """In the order of the plan's cases."""
    between_backends: tuple[Comparison, ...]
    """Per network: each backend against the first one named in the plan."""
    condition: Condition = Condition(rule="quiet")
    caveats: tuple[Caveat, ...]
    """The run's own caveats and those the analysis adds."""
