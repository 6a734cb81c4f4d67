"""Finds the data files that hold weights of an ONNX model, and refuses those that a model may not name.

A model comes from a stranger: a location such as ../../etc/passwd would let it read any file of the user.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from mnbench.errors import ModelFileError
from mnbench.graph.onnx_nodes import all_tensors, dtype_name
from mnbench.graph.opening import HEAD_BYTES, open_regular, refuse_git_lfs, shown
from mnbench.graph.tensors import bytes_needed
from mnbench.system.files import text_of

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One data file of a model."""

    path: Path
    size_bytes: int


def locate(model: ModelProto, path: Path) -> dict[str, Place]:
    """Return the data files of the model at `path` by their location in the model. None is loaded.

    Raises ModelFileError for a file that is missing, shorter than the model says, a git-lfs pointer, or outside of the folder.
    """
    places: dict[str, Place] = {}
    for tensor in all_tensors(model):
        if not is_external(tensor):
            continue
        location = _entries(tensor).get("location", "")
        if location not in places:
            places[location] = _place(location, path)
        _require_inside(tensor, places[location])
    return places


def is_external(tensor: TensorProto) -> bool:
    """Return whether a tensor's values lie in a data file."""
    return tensor.data_location == tensor.EXTERNAL


def span(tensor: TensorProto, places: Mapping[str, Place]) -> tuple[Path, int]:
    """Return the data file of an external tensor and where in it the values begin, in bytes."""
    entries = _entries(tensor)
    return places[entries.get("location", "")].path, _number(tensor, entries, "offset", 0)


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _place(location: str, model: Path) -> Place:
    name = repr(text_of(location))
    outside = ModelFileError(
        f"the model file {shown(model)} asks for the data file {name}, which lies outside of its folder: this is refused."
    )
    windows = PureWindowsPath(location)
    if not location or PurePosixPath(location).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise outside
    path = model.parent / location
    try:
        # The folder of the file itself counts as well: a model hub's cache links both files into a folder of blobs.
        homes = (model.parent.resolve(), model.resolve().parent)
        real = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise ModelFileError(f"the data file {name} of {shown(model)} cannot be looked up: {error}.") from error
    if not any(real.is_relative_to(home) for home in homes):
        raise outside
    if not path.exists():
        raise ModelFileError(
            f"the data file {name} with weights of {shown(model)} is missing: it belongs into the folder {shown(path.parent)}."
        )
    what = f"the data file of {shown(model)},"
    with open_regular(path, what) as file:
        refuse_git_lfs(path, file.read(HEAD_BYTES), what)
        return Place(path=path, size_bytes=file.seek(0, 2))


def _require_inside(tensor: TensorProto, place: Place) -> None:
    entries = _entries(tensor)
    offset = _number(tensor, entries, "offset", 0)
    elements = math.prod(tensor.dims)
    needed = bytes_needed(dtype_name(tensor.data_type), elements) or 0
    length = _number(tensor, entries, "length", needed)
    end = offset + max(length, needed)
    if end > place.size_bytes:
        raise ModelFileError(
            f"the data file {shown(place.path)} has {place.size_bytes:,} bytes, "
            f"and the weight {tensor.name!r} ends at byte {end:,}: the file is cut off or of another model."
        )
    if length < needed:
        raise ModelFileError(
            f"the weight {tensor.name!r} has {elements:,} elements, which need {needed:,} bytes, "
            f"and the model gives it {length:,} in {shown(place.path)}."
        )


def _number(tensor: TensorProto, entries: Mapping[str, str], key: str, otherwise: int) -> int:
    value = entries.get(key)
    if value is None or value == "":
        return otherwise
    if not value.isascii() or not value.isdigit():
        raise ModelFileError(f"the weight {tensor.name!r} has the {key} {value!r} in its data file, no number of bytes.")
    return int(value)
