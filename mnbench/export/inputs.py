"""The numbers that a model is run on: the user's data, or seeded ones of the right type and range."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnbench.errors import MissingPackageError, UsageError
from mnbench.records import DataFile, TensorSpec
from mnbench.sources.feeds import Array

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SMALL_INTEGERS = 2
"""Drawn integers are 0 or 1: every table has these rows."""
BYTE_VALUES = 256


def data_file(path: Path) -> DataFile:
    """Return the record of a file of data. Raises UsageError for one that cannot be read, or of another kind."""
    if path.suffix.lower() not in (".npz", ".npy", *IMAGES):
        raise UsageError(f"--input {path} is no file that can be fed: give an .npz, an .npy or an image ({', '.join(IMAGES)}).")
    if not path.is_file():
        raise UsageError(f"--input {path} is not a file.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--input {path} cannot be read: {error.strerror}.") from error
    return DataFile(path=str(path.absolute()), sha256=hashlib.sha256(data).hexdigest())


def filled(specs: Sequence[TensorSpec], seed: int, data: DataFile | None) -> tuple[list[Array], tuple[TensorSpec, ...]]:
    """Return an array for each input and the inputs with how they were filled. `specs` have sizes.

    Raises UsageError for data that do not fit.
    """
    given = {} if data is None else read_data(Path(data.path), specs)
    arrays, told = [], []
    for place, spec in enumerate(specs):
        if spec.name in given:
            arrays.append(given[spec.name])
            told.append(replace(spec, filled=f"from {Path(data.path).name}" if data else ""))
        else:
            array, how = drawn(spec, np.random.default_rng([seed, place]))
            arrays.append(array)
            told.append(replace(spec, filled=how))
    return arrays, tuple(told)


def drawn(spec: TensorSpec, generator: np.random.Generator) -> tuple[Array, str]:
    """Return seeded numbers for an input, and what they are."""
    shape = tuple(int(dim) for dim in spec.dims)
    if spec.dtype == "bfloat16":
        return as_bfloat16(generator.standard_normal(shape, dtype=np.float32)), "standard normal"
    if spec.dtype.startswith("float"):
        return generator.standard_normal(shape, dtype=np.float32).astype(spec.dtype), "standard normal"
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_), "random true and false"
    if spec.dtype == "uint8" and len(shape) >= 3:
        return generator.integers(0, BYTE_VALUES, shape, dtype=np.uint8), "bytes, as of an image"
    if len(shape) <= 2 and _is_size(spec.name):
        return np.full(shape, 1, spec.dtype), "ones"
    return generator.integers(0, SMALL_INTEGERS, shape).astype(spec.dtype), "integers 0 and 1"


def _is_size(name: str) -> bool:
    return any(word in name.lower() for word in ("shape", "size", "scale", "length"))


def as_bfloat16(array: Array) -> Array:
    """Return float32 as the bits of bfloat16, cut off."""
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def read_data(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return the user's arrays by the name of the input. Raises UsageError for a wrong name, type or size."""
    if path.suffix.lower() in IMAGES:
        return {spec.name: _image(path, spec) for spec in [_image_input(path, specs)]}
    try:
        loaded = np.load(path, allow_pickle=False)
        stored = {name: loaded[name] for name in loaded.files} if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except OSError as error:
        raise UsageError(f"--input {path.name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"--input {path.name} is no file that numpy.save or numpy.savez wrote, is damaged, or holds Python objects."
        ) from error
    if not isinstance(stored, dict):
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs)
            raise UsageError(f"--input {path.name} holds one array; the model has {len(specs)} inputs ({names}): give an .npz.")
        stored = {specs[0].name: stored}
    known = {spec.name: spec for spec in specs}
    for name in stored:
        if name not in known:
            raise UsageError(f"--input {path.name} has an array {name!r}; the inputs are {', '.join(known) or 'none'}.")
    return {name: _fitting(array, known[name], path) for name, array in stored.items()}


def _fitting(array: Any, spec: TensorSpec, path: Path) -> Array:
    shape = tuple(int(dim) for dim in spec.dims)
    if array.shape != shape:
        raise UsageError(f"--input {path.name} gives {spec.name!r} the shape {list(array.shape)}; it is {list(shape)}.")
    if spec.dtype == "bfloat16" and array.dtype == np.float32:
        return as_bfloat16(array)
    if str(array.dtype) != spec.dtype:
        raise UsageError(f"--input {path.name} gives {spec.name!r} as {array.dtype}; it is {spec.dtype}.")
    return np.ascontiguousarray(array)


def _image_input(path: Path, specs: Sequence[TensorSpec]) -> TensorSpec:
    """Return the one input that an image can fill. Raises UsageError."""
    found = [spec for spec in specs if len(spec.dims) == 4 and (spec.dims[1] in (1, 3) or spec.dims[3] in (1, 3))]
    if len(found) != 1:
        raise UsageError(f"--input {path.name} is an image, and {len(found)} inputs of the model could take one: give an .npz.")
    return found[0]


def _image(path: Path, spec: TensorSpec) -> Array:
    """Return an image for an input of (batch, channels, height, width) or channels last: bytes, or 0 to 1 for floats."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError("an image is read with the package pillow: pip install pillow.") from error
    last = spec.dims[1] not in (1, 3)
    channels = int(spec.dims[3] if last else spec.dims[1])
    height, width = (int(dim) for dim in (spec.dims[1:3] if last else spec.dims[2:4]))
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(
                picture.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
            )
    except (OSError, ValueError) as error:
        raise UsageError(f"--input {path.name} cannot be read as an image: {error}.") from error
    pixels = pixels.reshape(height, width, channels)
    whole = np.broadcast_to(pixels if last else pixels.transpose(2, 0, 1), tuple(int(dim) for dim in spec.dims))
    if spec.dtype == "bfloat16":
        return as_bfloat16(whole.astype(np.float32) / 255)
    if spec.dtype.startswith("float"):
        return np.ascontiguousarray(whole.astype(np.float32) / 255).astype(spec.dtype)
    return np.ascontiguousarray(whole).astype(spec.dtype)
