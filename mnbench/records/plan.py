"""What is to be measured: cases, and the plan that holds them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from mnbench.errors import UsageError
from mnbench.records.model import DataFile, Model


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
    cpus_named: bool = False
    """Whether the user named them. Otherwise waves may use others that are as idle."""
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
