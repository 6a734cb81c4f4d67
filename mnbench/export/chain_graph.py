"""A chain of operators → ONNX, node by node.

torch's exporter takes about a second a graph, and a study has many hundreds of small ones. This writer knows the few layers
that `mnbench.zoo.chains` uses, folds batch normalisation into the convolution before it as torch's exporter does, and takes
milliseconds. Like every file, what it writes is compared with torch's outputs before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import add
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from mnbench.errors import ExportError

INPUT, OUTPUT = "input", "logits"
IR_VERSION = 10
"""Of the files torch's exporter writes for the same opset; both runtimes read it."""


def graph_of(module: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...], opset: int) -> onnx.ModelProto:
    """Return `module` (in eval mode) as an ONNX model with static shapes. Raises ExportError for a layer it does not know."""
    traced = fuse(fx.symbolic_trace(module), inplace=False)
    writer = _Writer()
    layers = dict(traced.named_modules())
    for node in traced.graph.nodes:  # type: ignore[union-attr] # torch's stubs take a GraphModule's graph for a tensor
        writer.write(node, layers)
    graph = helper.make_graph(
        writer.nodes,
        "chain",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, output_shape)],
        initializer=writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="mnbench")
    model.ir_version = IR_VERSION
    return model


class _Writer:
    """The nodes and weights written so far, and the ONNX name of each traced value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._names: dict[fx.Node, str] = {}

    def write(self, node: fx.Node, layers: Mapping[str, nn.Module]) -> None:
        """Write one traced node."""
        if node.op == "placeholder":
            self._names[node] = INPUT
        elif node.op == "output":
            self._node("Identity", [self._name(node.args[0])], OUTPUT)
        elif node.op == "call_module":
            layer = layers[str(node.target)]
            if type(layer) not in _LAYERS:
                raise ExportError(f"the writer of chains does not know {type(layer).__name__}.")
            self._names[node] = _LAYERS[type(layer)](self, node.name, self._name(node.args[0]), layer)
        elif node.op == "call_function" and node.target is add:
            self._names[node] = self._node("Add", [self._name(value) for value in node.args], node.name)
        elif node.op == "call_method" and node.target == "flatten":
            self._names[node] = self._node("Flatten", [self._name(node.args[0])], node.name, axis=1)
        else:
            raise ExportError(f"the writer of chains does not know {node.op} {node.target}.")

    def weight(self, name: str, values: Tensor | np.ndarray) -> str:
        """Write a constant; return its name."""
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name))
        return name

    def _name(self, value: Any) -> str:
        return self._names[value]

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, name: str, x: str, layer: nn.Conv2d) -> str:
        weights = [self.weight(f"{name}.weight", layer.weight)]
        if layer.bias is not None:
            weights.append(self.weight(f"{name}.bias", layer.bias))
        pads = [int(side) for side in layer.padding]
        return self._node(
            "Conv", [x, *weights], name, kernel_shape=list(layer.kernel_size), strides=list(layer.stride),
            pads=pads * 2, group=layer.groups,
        )  # fmt: skip

    def linear(self, name: str, x: str, layer: nn.Linear) -> str:
        weights = [self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)]
        return self._node("Gemm", [x, *weights], name, transB=1)

    def clip(self, name: str, x: str, _layer: nn.Module) -> str:
        low, high = (self.weight(f"{name}.{end}", np.array(value)) for end, value in (("low", 0.0), ("high", 6.0)))
        return self._node("Clip", [x, low, high], name)

    def pool(self, name: str, x: str, _layer: nn.Module) -> str:
        return self._node("GlobalAveragePool", [x], name)

    def relu(self, name: str, x: str, _layer: nn.Module) -> str:
        return self._node("Relu", [x], name)

    def hardswish(self, name: str, x: str, _layer: nn.Module) -> str:
        return self._node("HardSwish", [x], name)

    def flatten(self, name: str, x: str, _layer: nn.Module) -> str:
        return self._node("Flatten", [x], name, axis=1)

    def same(self, _name: str, x: str, _layer: nn.Module) -> str:
        return x


_LAYERS: Mapping[type[nn.Module], Callable[[_Writer, str, str, Any], str]] = {
    nn.Conv2d: _Writer.convolution,
    nn.Linear: _Writer.linear,
    nn.ReLU6: _Writer.clip,
    nn.ReLU: _Writer.relu,
    nn.Hardswish: _Writer.hardswish,
    nn.AdaptiveAvgPool2d: _Writer.pool,
    nn.Flatten: _Writer.flatten,
    nn.Identity: _Writer.same,
}
