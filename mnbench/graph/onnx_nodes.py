"""Small questions about ONNX nodes that several readers of a graph ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def operator_name(domain: str, operator: str) -> str:
    """Return `Conv` for the standard domain, `com.microsoft.Gelu` for another."""
    return operator if domain in STANDARD_DOMAINS else f"{domain}.{operator}"


def is_standard(node: NodeProto, *operators: str) -> bool:
    """Return whether a node is one of these operators of the standard domain."""
    return node.op_type in operators and node.domain in STANDARD_DOMAINS


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """Yield the graphs inside a node (of If, Loop, Scan …) with the names of their attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield the nodes and those of all graphs inside them."""
    for node in nodes:
        yield node
        for _, graph in subgraphs(node):
            yield from all_nodes(graph.node)


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor of the file: initialisers and attributes, in subgraphs and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def attribute(node: NodeProto, name: str) -> AttributeProto | None:
    """Return the attribute of a node by name; None if it is not set."""
    return next((each for each in node.attribute if each.name == name), None)


def integer(node: NodeProto, name: str, otherwise: int) -> int:
    """Return an integer attribute."""
    found = attribute(node, name)
    return otherwise if found is None else found.i


def integers(node: NodeProto, name: str) -> tuple[int, ...]:
    """Return an attribute that lists integers; empty if it is not set."""
    found = attribute(node, name)
    return () if found is None else tuple(found.ints)


def text(node: NodeProto, name: str) -> str:
    """Return a text attribute; empty if it is not set."""
    found = attribute(node, name)
    return "" if found is None else found.s.decode("utf-8", "replace")


def dtype_name(number: int) -> str:
    """Return mnbench's name of an ONNX dtype: `float32`, `bfloat16`, `int8` …; empty for 0, which means undeclared."""
    from onnx import TensorProto

    if number == 0:
        return ""
    try:
        name = str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"dtype {number}"
    return {"float": "float32", "double": "float64"}.get(name, name)
