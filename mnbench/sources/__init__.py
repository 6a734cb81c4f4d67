"""Where models come from: a registry of sources, each of which looks at what the user named and says what it is.

    text ──resolve──▶ Model (a record: id, source, inputs, published card)          in the parent, without torch
    Source ──open_module──▶ torch module                                            in children, for sources of modules

A source *gives* a format: the place where the search for a way to a backend's format begins (`mnbench.export.ways`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from mnbench.errors import MissingPackageError, UnknownNameError, UsageError
from mnbench.records import BATCH, Case, Model, Source, TensorSpec
from mnbench.sources.naming import distinct
from mnbench.system.files import text_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from mnbench.sources.modules import OpenedModule

ENTRY_POINT_GROUP = "mnbench.sources"

BUILT_IN: Mapping[str, str] = {
    "catalog": "mnbench.sources.catalog:CatalogSource",
    "onnx": "mnbench.sources.onnx:OnnxSource",
    "ir": "mnbench.sources.ir:IrSource",
    "pt2": "mnbench.sources.pt2:Pt2Source",
    "timm": "mnbench.sources.timm:TimmSource",
    "torchvision": "mnbench.sources.torchvision:TorchvisionSource",
    "python": "mnbench.sources.python:PythonSource",
}
SUFFIXES: Mapping[str, str] = {".onnx": "onnx", ".xml": "ir", ".pt2": "pt2"}
"""Files that name their source by how they end. A source of another package is asked for by its scheme: `toy:name`."""
NAMES_ITS_INPUTS_LATE = ("python", "pt2")
"""Sources whose inputs are known only when the module is there."""
FORMS = (
    "a name of the catalog (mnbench list models), PATH.onnx, PATH.xml, PATH.pt2, timm:NAME, torchvision:NAME, "
    "FILE.py:FUNCTION or package.module:FUNCTION"
)

Shapes = Mapping[str, tuple[int, ...]]
"""By the name of an input: its sizes, as `--shape` gives them."""


class ModelSource(Protocol):
    """One kind of place where models come from."""

    gives: str
    """The format of what it gives, of which `mnbench.records.Format` names the built-in ones."""
    packages: tuple[str, ...]
    """Distributions whose versions decide what a name stands for."""

    def missing(self) -> str | None:
        """Return None, or the sentence that says how to install what is missing. Imports nothing."""

    def describe(self, locator: str, shapes: Shapes) -> Model:
        """Return the model that `locator` names, its inputs as far as they are known without opening it.

        `shapes` fill open axes of inputs of those names. Raises UsageError; MissingPackageError where just this model needs
        a package that is missing.
        """


class ModuleSource(ModelSource, Protocol):
    """A source whose models are torch modules."""

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Build the module, its weights drawn from `seed` where it has none. Raises UsageError or ExportError."""


def names() -> tuple[str, ...]:
    """Names of all sources: the built-in ones, then those other packages add."""
    return tuple(dict.fromkeys([*BUILT_IN, *(entry.name for entry in _entry_points())]))


def get(scheme: str) -> ModelSource:
    """Return the source called `scheme`. Raises UnknownNameError; UsageError for another package's that cannot be loaded."""
    if scheme in BUILT_IN:
        module, _, attribute = BUILT_IN[scheme].partition(":")
        return cast(ModelSource, getattr(importlib.import_module(module), attribute)())
    for entry in _entry_points():
        if entry.name == scheme:
            try:
                return cast(ModelSource, entry.load()())
            except Exception as error:  # another package's code; whatever it raises, the user gets a sentence
                raise UsageError(f"source {scheme!r} ({entry.value}) cannot be loaded: {error!r}.") from error
    raise UnknownNameError("source of models", scheme, names())


def resolve(texts: Sequence[str], shapes: Shapes | None = None) -> tuple[Model, ...]:
    """Return what the user named, each model once, with ids that are unique among them.

    Raises UsageError for what cannot be opened and for a name in `shapes` that no model has an input of, UnknownNameError, and
    MissingPackageError for a source whose package is missing.
    """
    shapes = shapes or {}
    found = [_describe(text, shapes) for text in texts]
    models = distinct(list({model.source: model for model in reversed(found)}.values())[::-1])
    known = {spec.name for model in models for spec in model.inputs}
    left = {name: sizes for name, sizes in shapes.items() if name not in known}
    if any(model.source.scheme in NAMES_ITS_INPUTS_LATE for model in models):  # they are checked when it is opened
        return tuple(_with_shapes(model, left) if model.source.scheme in NAMES_ITS_INPUTS_LATE else model for model in models)
    if left:
        raise UsageError(
            f"--shape names the input {next(iter(left))!r}, which no model has. Inputs: {', '.join(sorted(known)) or 'none'}."
        )
    return models


def of_cases(cases: Sequence[Case], known: Sequence[Model]) -> tuple[Model, ...]:
    """Return `known` and, for cases that name a network of the catalog beside it, that network.

    Raises MissingPackageError where a package is missing that a model needs: a plan may come from another host.
    """
    models = {model.id: model for model in known}
    for model in known:
        if model.source.scheme == "catalog":
            _looked_at("catalog", model.source.locator, {})
        else:
            require(model.source.scheme)
    for case in cases:
        if case.backend != "null" and case.model not in models:
            models[case.model] = _looked_at("catalog", case.model, {})
    return tuple(models.values())


def open_module(source: Source, seed: int) -> OpenedModule:
    """Build the torch module of a source. Raises UsageError for one that gives no modules, ExportError where it fails."""
    opener: Any = get(source.scheme)
    if not hasattr(opener, "open_module"):
        raise UsageError(f"{source.scheme}:{source.locator} is no torch module.")
    return cast("OpenedModule", opener.open_module(source, seed))


def _describe(text: str, shapes: Shapes) -> Model:
    if text != text_of(text):
        raise UsageError(f"the model '{text_of(text)}' is not text in UTF-8; rename it or link to it.")
    return replace(_looked_at(*scheme_of(text), shapes), title=text)


def require(scheme: str) -> ModelSource:
    """Return a source whose packages are installed. Raises UnknownNameError, MissingPackageError, UsageError."""
    source = get(scheme)
    if sentence := source.missing():
        raise MissingPackageError(sentence)
    return source


def _looked_at(scheme: str, locator: str, shapes: Shapes) -> Model:
    source = require(scheme)
    try:
        return source.describe(locator, shapes)
    except MemoryError:
        raise UsageError(f"the model '{text_of(locator)}' needs more memory than there is, to be read alone.") from None


def scheme_of(text: str) -> tuple[str, str]:
    """Return (scheme, locator) of what a user named. Raises UsageError where it could be two things, or none."""
    from mnbench import catalog

    head, colon, rest = text.partition(":")
    if colon and head in names():
        return head, rest
    suffix = Path(text).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix], text
    if colon:
        return "python", text
    if text in catalog.names() and Path(text).exists():
        raise UsageError(
            f"{text!r} is a network of the catalog and also a file here: write catalog:{text}, or ./{text} with its ending."
        )
    if Path(text).exists() or "/" in text or suffix in (".pt", ".pth", ".tflite", ".pb", ".h5", ".safetensors", ".py", ".bin"):
        raise UsageError(f"{text!r} is not a model that mnbench opens. It opens {FORMS}.")
    return "catalog", text


def is_name(text: str) -> bool:
    """Say whether what a user named can be a network of the catalog and nothing else."""
    try:
        return scheme_of(text) == ("catalog", text)
    except UsageError:
        return False


def same(model: Model, text: str) -> bool:
    """Say whether a text, such as another path to the same file, names a model."""
    try:
        scheme, locator = scheme_of(text)
    except UsageError:
        return False
    if scheme != model.source.scheme:
        return False
    return locator == model.source.locator or (scheme in SUFFIXES.values() and _is_file(locator, model.source.locator))


def _is_file(path: str, known: str) -> bool:
    try:
        return Path(path).samefile(known)
    except (OSError, ValueError):
        return False


def _with_shapes(model: Model, shapes: Shapes) -> Model:
    given = (TensorSpec(name=name, dtype="", dims=(BATCH if sizes[:1] == (1,) else sizes[0], *sizes[1:]))
             for name, sizes in shapes.items() if sizes)  # fmt: skip
    return replace(model, inputs=(*model.inputs, *given))


def _entry_points() -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points

    yield from entry_points(group=ENTRY_POINT_GROUP)
