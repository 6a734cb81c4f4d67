"""OpenVINO IR files of the user's: an .xml with its .bin beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from mnbench.graph.ir_file import read
from mnbench.records import Format, Model
from mnbench.sources.onnx import model_of_file


class IrSource:
    gives = Format.IR_FILE
    packages: tuple[str, ...] = ()

    def missing(self) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "an OpenVINO IR (.xml) needs the package openvino: pip install 'mnbench[openvino]'."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of a file. Raises ModelFileError, and UsageError for inputs that cannot be filled."""
        return model_of_file("ir", locator, read(Path(locator)), shapes)
