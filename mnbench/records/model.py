"""Models and what is made of them: published cards, sources, artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
class Remark:
    """Something to know about a model or a file, found when it was looked at, opened or run: becomes a caveat."""

    code: str
    observed: str


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
class ModelFacts:
    """What was counted of a model, for one image: the same in every format of it."""

    model: str
    """Its id."""
    params: int
    madds: int
    layers: tuple[LayerCost, ...] = ()
    """The layers that multiply and add, in the order of execution."""
    uncounted: tuple[str, ...] = ()
    """Operators that the counter met and cannot count. If there are any, `madds` may be too low."""
    denormal_weights: int = 0
    denormal_activations: int = 0
    """Values too small for a normal float32, in the weights and in what the layers put out for the stored feed."""


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
    inputs: tuple[TensorSpec, ...] = ()
    """In the order of the arrays of the feed, with their sizes."""
    outputs: tuple[TensorSpec, ...] = ()
    """Likewise; a size that is known only after running is a symbol. Empty where no reference could tell them."""
    reference: str = "torch"
    """What computed the answers of the feed; empty where nothing could, and outputs are not compared."""
    strict: bool = True
    """Outputs beyond what is explained are an error. Of a user's model they are a caveat: nobody knows which is right."""
    remarks: tuple[Remark, ...] = ()
    facts: ModelFacts | None = None
    """Of its model. None in the record of a run, which keeps them once for each model (`Run.facts`)."""


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
