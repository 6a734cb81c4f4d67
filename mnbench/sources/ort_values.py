"""Arrays of a feed as onnxruntime's values, and back; bfloat16 passes as the uint16 of its bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mnbench.sources.feeds import Array

TOO_NEW_IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
TOO_NEW_OPSET = re.compile(r"Opset (\d+) is under development.* till opset (\d+)")
UNKNOWN_OPERATOR = re.compile(r"Fatal error: ([\w.]*):(\w+)\(-?\d+\) is not a registered function/op")
IN_NODE = re.compile(r"while running (\w+) node\. Name:'(.*?)' Status Message: (.*)")
PLACE_IN_SOURCE = re.compile(r"/onnxruntime_src/\S+ (?:.*? was false\.|[^()]*\([^()]*\)(?: \[with [^]]*\])?) ?")
PREAMBLE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Exception during initialization: )?")
LONGEST = 400
BFLOAT16 = 16
"""Number of bfloat16 among the types of ONNX (TensorProto.DataType)."""


def explained(message: str, version: str) -> str:
    """Return what onnxruntime says of a model that it does not open or that fails inside, in one sentence."""
    message = " ".join(message.split())
    if found := TOO_NEW_IR.search(message):
        return f"the file has ONNX IR version {found[1]}; onnxruntime {version} reads at most {found[2]}."
    if found := TOO_NEW_OPSET.search(message):
        return f"the file has opset {found[1]}; onnxruntime {version} reads at most {found[2]}."
    if found := UNKNOWN_OPERATOR.search(message):
        return f"onnxruntime {version} does not know the operator {'.'.join(filter(None, found.groups()))}."
    if found := IN_NODE.search(message):
        node = f"{found[1]} {found[2]!r}" if found[2] else f"the operator {found[1]}"
        return f"onnxruntime {version} fails inside the model, at {node}: {_without_places(found[3])}"
    return f"onnxruntime {version} cannot run the model: {_without_places(message.partition('failed:')[2].strip() or message)}"


def _without_places(message: str) -> str:
    """Return a message without the places in onnxruntime's source and its numbers for kinds of errors."""
    return (PLACE_IN_SOURCE.sub("", PREAMBLE.sub("", message)).strip() or message)[:LONGEST]


def ort_value(array: Array, dtype: str) -> Any:
    """Return an OrtValue on the memory of `array`."""
    import onnxruntime as ort

    if dtype == "bfloat16":
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def bits_of(value: Any) -> Array:
    """Return the numbers of an OrtValue."""
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    import ctypes

    shape = tuple(value.shape())
    size = int(np.prod(shape))
    bits: Array = np.ctypeslib.as_array((ctypes.c_uint16 * size).from_address(value.data_ptr()))
    return bits.reshape(shape).copy()
