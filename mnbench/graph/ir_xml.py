"""The layers and edges of an OpenVINO IR's .xml file, parsed without OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.parsers import expat

from mnbench.errors import ModelFileError
from mnbench.graph.opening import HEAD_BYTES, open_regular, refuse_other_formats, shown
from mnbench.graph.tensors import Dim

DTYPES: Mapping[str, str] = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f8e4m3": "float8e4m3fn", "f8e5m2": "float8e5m2",
    "fp64": "float64", "fp32": "float32", "fp16": "float16",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8", "i4": "int4",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8", "u4": "uint4", "u2": "uint2",
    "boolean": "bool", "bool": "bool",
}  # fmt: skip
Source = tuple[str, str]
"""A layer's id and one of its ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IrPort:
    """One input or output of a layer."""

    id: str
    dims: tuple[Dim, ...]
    dtype: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IrLayer:
    """One layer."""

    id: str
    name: str
    type: str
    opset: str
    data: Mapping[str, str]
    inputs: tuple[IrPort, ...]
    outputs: tuple[IrPort, ...]
    output_names: tuple[str, ...]
    bodies: tuple[IrBody, ...]
    """Of If, Loop and TensorIterator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IrBody:
    """Layers in the order of the file, in which each stands behind those it reads."""

    layers: tuple[IrLayer, ...]
    sources: Mapping[Source, Source]
    """For each input of a layer, the output that it reads."""

    def source(self, layer: IrLayer, place: int) -> Source | None:
        """Return the output that a layer's input at `place` reads; None if there is none."""
        return self.sources.get((layer.id, layer.inputs[place].id)) if place < len(layer.inputs) else None

    def all_layers(self) -> Iterator[IrLayer]:
        """Yield the layers, each followed by those inside it."""
        for layer in self.layers:
            yield layer
            for body in layer.bodies:
                yield from body.all_layers()


@dataclass(frozen=True, slots=True, kw_only=True)
class IrNet:
    """The whole file."""

    version: int
    producer: str
    """Version of the OpenVINO that wrote the file; empty if it is not told."""
    body: IrBody


def parse(path: Path) -> IrNet:
    """Parse the .xml at `path`. Raises ModelFileError if it is not readable, not complete, or no plain IR."""
    root = _root(path)
    version = root.get("version", "")
    if root.tag != "net" or root.find("layers") is None or not version.isdigit():
        raise ModelFileError(f"the model file {shown(path)} is XML, but no OpenVINO IR.")
    told = next((info.get("value", "") for info in root.iterfind("rt_info/") if _names_runtime(info)), "")
    try:
        return IrNet(version=int(version), producer=told, body=_body(root))
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelFileError(f"the model file {shown(path)} is a damaged OpenVINO IR: {error}.") from error


def dims_of(text: str) -> tuple[Dim, ...] | None:
    """Parse a shape: `1,3,?,32..64` has the sizes 1 and 3 and two that are open. `...` has an unknown number of axes."""
    if text.strip() == "...":
        return None
    sides = [side.strip() for side in text.strip("[]").split(",")] if text.strip("[] ") else []
    return tuple(int(side) if side.isdigit() else None for side in sides)


def _names_runtime(info: ET.Element) -> bool:
    return info.tag == "Runtime_version" or info.get("name") in {"Runtime_version", "OpenVINO Runtime"}


def _root(path: Path) -> ET.Element:
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise ModelFileError(f"the model file {shown(path)} declares a document type. No OpenVINO IR does, so it is refused.")

    parser.StartDoctypeDeclHandler = refuse
    with open_regular(path) as file:
        refuse_other_formats(path, file.read(HEAD_BYTES), "OpenVINO IR", own=(b"<?xml", b"<net "))
        file.seek(0)
        try:
            parser.ParseFile(file)
        except (expat.ExpatError, ValueError) as error:
            raise ModelFileError(f"the model file {shown(path)} is no complete XML file: {error}.") from error
    return builder.close()


def _body(net: ET.Element) -> IrBody:
    layers = net.find("layers")
    edges = net.find("edges")
    return IrBody(
        layers=tuple(_layer(layer) for layer in (() if layers is None else layers)),
        sources={
            (edge.attrib["to-layer"], edge.attrib["to-port"]): (edge.attrib["from-layer"], edge.attrib["from-port"])
            for edge in (() if edges is None else edges)
        },
    )


def _layer(element: ET.Element) -> IrLayer:
    data = element.find("data")
    return IrLayer(
        id=element.attrib["id"],
        name=element.get("name", ""),
        type=element.attrib["type"],
        opset=element.get("version", ""),
        data={} if data is None else dict(data.attrib),
        inputs=_ports(element, "input"),
        outputs=_ports(element, "output"),
        output_names=_names(element.get("output_names", "")),
        bodies=tuple(_body(inner) for inner in element if inner.find("layers") is not None),
    )


def _ports(layer: ET.Element, side: str) -> tuple[IrPort, ...]:
    return tuple(
        IrPort(
            id=port.attrib["id"],
            dims=tuple(size if (size := int(dim.text or "-1")) >= 0 else None for dim in port.iterfind("dim")),
            dtype=dtype_of(port.get("precision", "")),
            names=_names(port.get("names", "")),
        )
        for port in layer.iterfind(f"{side}/port")
    )


def dtype_of(name: str) -> str:
    """Return mnbench's name of an IR's dtype (`f32`, `FP32`)."""
    return DTYPES.get(name.lower(), name.lower())


def _names(text: str) -> tuple[str, ...]:
    r"""Split a list of names at its commas; one within a name is written as `\,`."""
    parts = text.replace("\\,", "\0").split(",")
    return tuple(part.replace("\0", ",") for part in parts if part)
