"""What `mnbench inspect` finds out about a model before anything is measured. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mnbench.records import Remark, Source, TensorSpec


class Does(StrEnum):
    """What a backend will do with a model."""

    OPENS = "opens"
    CONVERTS = "converts"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one installed backend will do with a model."""

    backend: str
    does: Does
    detail: str
    """How, or why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCount:
    """The layers of one kind that multiply and add."""

    kind: str
    layers: int
    params: int
    madds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a model says about itself. None and empty fields are unknown, or do not apply to its format."""

    title: str
    """As the user named it."""
    id: str
    """What tables will call it."""
    source: Source
    format: str
    """In words: `ONNX`, `OpenVINO IR`, `torch module`."""
    exporter: str
    ir_version: int | None = None
    opsets: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    """With the sizes that were given or follow; `batch` for the axis that --batch fills; other symbols are open."""
    outputs: tuple[TensorSpec, ...] = ()
    problem: str = ""
    """Why it cannot be run as it was named: what --shape has to give, or an input that cannot be filled."""
    params: int | None = None
    madds: int | None = None
    """For one image. None where sizes are missing that the count needs."""
    kinds: tuple[KindCount, ...] = ()
    weight_dtypes: Mapping[str, int] = field(default_factory=dict)
    """Parameters by the type they are stored in."""
    denormal_weights: int | None = None
    data_dependent: Mapping[str, int] = field(default_factory=dict)
    random_operators: Mapping[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    """Of a module, which was run once."""
    files: tuple[ModelFile, ...] = ()
    backends: tuple[Outlook, ...] = ()
