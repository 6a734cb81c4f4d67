"""The models of a run that are not the catalog's: what they are, what they were run on and what they were judged by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mnbench.records import BATCH, Artifact, Model, ModelFacts, Run, TensorSpec

DIGITS = 12
"""Of a digest, for people; JSON has it whole."""
NO_REFERENCE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model of the user's."""

    model: str
    """What tables call it."""
    title: str
    """As the user named it."""
    scheme: str
    sha256: str
    """Of the file's content; empty where a builder's code decides it."""
    inputs: tuple[TensorSpec, ...]
    """With how they were filled; `batch` for an axis that differs between the cases."""
    outputs: tuple[TensorSpec, ...]
    reference: str
    """What computed the outputs that others are compared with; empty where nothing did."""
    exporters: tuple[str, ...]
    """One for each file that was opened."""
    uncounted: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The first digits of the digest."""
        return self.sha256[:DIGITS]


def model_rows(run: Run) -> tuple[ModelRow, ...]:
    """Return the models of a run that are not the catalog's, in the order of the plan."""
    return tuple(
        _row(model, [artifact for artifact in run.artifacts if artifact.spec.model == model.id], run.facts_of(model.id))
        for model in run.plan.models
        if model.source.scheme != "catalog"
    )


def records(rows: Iterable[ModelRow]) -> list[dict[str, Any]]:
    """Return the rows as JSON has them."""
    return [asdict(row) for row in rows]


def tensor(spec: TensorSpec) -> str:
    """Return an input or output as `float32 [1, 3, 224, 224]`."""
    return f"{spec.dtype or 'unknown type'} [{', '.join(map(str, spec.dims))}]"


def filled(spec: TensorSpec) -> str:
    """Return an input with how it was filled, where that is known."""
    return f"{tensor(spec)}{f', {spec.filled}' if spec.filled else ''}"


def origin(row: ModelRow) -> str:
    """Return where a model comes from and what its outputs are compared with, as one line."""
    parts = [row.scheme, *([f"SHA-256 {row.digest}"] if row.sha256 else [])]
    return f"{row.title} ({', '.join(parts)}); reference: {row.reference or NO_REFERENCE}"


def _row(model: Model, artifacts: Sequence[Artifact], facts: ModelFacts | None) -> ModelRow:
    first = artifacts[0] if artifacts else None
    return ModelRow(
        model=model.id,
        title=model.title,
        scheme=model.source.scheme,
        sha256=model.source.sha256,
        inputs=_joined([artifact.inputs for artifact in artifacts]) or model.inputs,
        outputs=_joined([artifact.outputs for artifact in artifacts]),
        reference=first.reference if first else "",
        exporters=tuple(dict.fromkeys(artifact.exporter for artifact in artifacts)),
        uncounted=facts.uncounted if facts is not None else (),
    )


def _joined(every: Sequence[tuple[TensorSpec, ...]]) -> tuple[TensorSpec, ...]:
    """Return the tensors of the first artefact; an axis that differs in others is the batch."""
    if not every:
        return ()
    alike = [specs for specs in every if [spec.name for spec in specs] == [spec.name for spec in every[0]]]
    return tuple(_merged([specs[place] for specs in alike]) for place in range(len(every[0])))


def _merged(specs: Sequence[TensorSpec]) -> TensorSpec:
    first = specs[0]
    if any(len(spec.dims) != len(first.dims) for spec in specs):
        return first
    dims = tuple(sizes[0] if len(set(sizes)) == 1 else BATCH for sizes in zip(*(spec.dims for spec in specs), strict=True))
    return TensorSpec(name=first.name, dtype=first.dtype, dims=dims, filled=first.filled)
