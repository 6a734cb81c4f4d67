"""The central types: frozen records that every layer shares, by topic.

Standard library only, so that anything may import them. Names carry their unit. All times are integer nanoseconds read from
one monotonic clock unless the name says otherwise.
"""

from __future__ import annotations

from mnbench.records.host import Cache, CpuKind, Environment
from mnbench.records.model import (
    BATCH,
    Accuracy,
    Artifact,
    Citation,
    DataFile,
    ExportSpec,
    Format,
    LayerCost,
    Model,
    ModelCard,
    ModelFacts,
    Published,
    PublishedLatency,
    Remark,
    Replica,
    Source,
    TensorSpec,
)
from mnbench.records.plan import DEFAULT_PERCENTILES, NULL_BACKEND, PERCENTILES, REGIMES, Case, Layout, Plan, ToolEnvironment
from mnbench.records.result import (
    Analysis,
    Bandwidth,
    CaseResult,
    Caveat,
    Ceilings,
    Comparison,
    Condition,
    Estimate,
    Peak,
    Severity,
    Verdict,
)
from mnbench.records.run import BEFORE_LAUNCH, SCHEMA_VERSION, LaunchFailure, Memory, Neighbour, Round, Run, Samples

__all__ = [
    "BATCH", "BEFORE_LAUNCH", "DEFAULT_PERCENTILES", "NULL_BACKEND", "PERCENTILES", "REGIMES", "SCHEMA_VERSION", "Accuracy",
    "Analysis", "Artifact", "Bandwidth", "Cache", "Case", "CaseResult", "Caveat", "Ceilings", "Citation", "Comparison",
    "Condition", "CpuKind", "DataFile", "Environment", "Estimate", "ExportSpec", "Format", "LaunchFailure", "LayerCost",
    "Layout", "Memory", "Model", "ModelCard", "ModelFacts",
    "Neighbour", "Peak", "Plan", "Published", "PublishedLatency", "Remark",
    "Replica", "Round", "Run", "Samples", "Severity", "Source", "TensorSpec", "ToolEnvironment", "Verdict",
]  # fmt: skip
