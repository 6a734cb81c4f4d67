"""What sources of torch modules give, and the inputs such a module is run on."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnbench.errors import ExportError, UsageError
from mnbench.records import BATCH
from mnbench.sources.shapes import UnfitInputsError

Dims = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModule:
    """A torch module in eval mode, with what its source knows of its inputs."""

    module: nn.Module
    shapes: Mapping[str, Dims] = field(default_factory=dict)
    """Sizes of its inputs by name, where the source knows them; one axis may be `BATCH`."""
    example: tuple[Tensor, ...] = ()
    """Inputs that the source gives, in the order of the call."""
    exported: Any = None
    """The torch.export program that the module is, for exporting it on; None for an eager module."""
    has_state: bool = True
    """Whether a worker must be given the weights: not where the source's own file holds them."""


def input_names(module: nn.Module, count: int = 0) -> tuple[str, ...]:
    """Return the names of the positional inputs of a module's call, as many as `count`, or those without a default."""
    try:
        signature = inspect.signature(module.forward)
    except ValueError:  # of a scripted module, which has a schema of its own
        forward: Any = module.forward
        return tuple(argument.name for argument in forward.schema.arguments[1:])[: count or None]
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    names = [parameter.name for parameter in parameters if count or parameter.default is parameter.empty]
    names = names[:count] if count else names
    return (*names, *(f"input_{place}" for place in range(len(names), count)))


def call_inputs(opened: OpenedModule, given: Mapping[str, tuple[int, ...]], batch: int) -> dict[str, Tensor | tuple[int, ...]]:
    """Return each input of the call by its name: the source's example, or the sizes for one that is to be drawn.

    `given` are sizes that the user asked for. Raises UsageError for a name that the module does not have, UnfitInputsError for
    an input whose sizes nobody knows.
    """
    names = tuple(opened.shapes) or input_names(opened.module, len(opened.example))
    if unknown := [name for name in given if name not in names]:
        raise UsageError(f"--shape names the input {unknown[0]!r}; the module has {', '.join(names) or 'none'}.")
    found: dict[str, Tensor | tuple[int, ...]] = {}
    for place, name in enumerate(names):
        if name in given:
            found[name] = given[name]
        elif place < len(opened.example):
            found[name] = _batched(opened.example[place], batch, name)
        elif name in opened.shapes:
            found[name] = tuple(_size(dim, batch, name) for dim in opened.shapes[name])
        else:
            raise UnfitInputsError(
                f"nobody says how large input {name!r} is: have the function return (module, example_input), "
                f"or give --shape {name}=1,3,224,224"
            )
    return found


def _size(dim: int | str, batch: int, name: str) -> int:
    if dim == BATCH:
        return batch
    if isinstance(dim, str):
        raise UnfitInputsError(f"input {name!r} has the open axis {dim!r}: give all of its sizes with --shape {name}=…")
    return dim


def _batched(example: Tensor, batch: int, name: str) -> Tensor:
    """Return an example for `batch`: as it is for 1 or its own batch, repeated if it is of one image."""
    if batch == 1 or (example.dim() and example.shape[0] == batch):
        return example
    if example.dim() and example.shape[0] == 1:
        return example.expand(batch, *example.shape[1:]).contiguous()
    raise UsageError(f"the example of input {name!r} has the shape {tuple(example.shape)}: it makes no batch of {batch}.")


def flatten(outputs: Any) -> list[Tensor]:
    """Return the tensors of whatever a module puts out, in its order. Raises ExportError where there is none."""
    import torch.utils._pytree as pytree

    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if not leaves:
        raise ExportError(f"the module puts out {type(outputs).__name__} without a tensor in it.")
    return leaves


def module_of(made: Any, what: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return (module in eval mode, example inputs) of what a builder returned. Raises ExportError for anything else."""
    example: Any = ()
    if isinstance(made, tuple) and len(made) == 2:
        made, example = made
    if not isinstance(made, nn.Module):
        raise ExportError(f"{what} returned {type(made).__name__}; it must return a torch module, or (module, example_input).")
    if isinstance(example, Tensor):
        example = (example,)
    if not isinstance(example, Sequence) or not all(isinstance(each, Tensor) for each in example):
        raise ExportError(f"{what} returned an example input that is neither a tensor nor a tuple of tensors.")
    return made.eval(), tuple(each.detach() for each in example)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever somebody else's code raises into a sentence."""
    try:
        yield
    except (ExportError, UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit
        text = " ".join(str(error).split())
        raise ExportError(f"{what} failed: {type(error).__name__}{f': {text}' if text else ''}") from error


def import_from(where: str, attribute: str) -> Any:
    """Return an attribute of a Python file or of a module that can be imported. Raises ExportError."""
    with explained(f"importing {where}"):
        if where.endswith(".py"):
            path = Path(where).absolute()
            name = f"_mnbench_model_{path.stem}"
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None or not path.is_file():
                raise ExportError(f"there is no file {where}.")
            sys.path.insert(0, str(path.parent))  # as if the file itself were run
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        else:
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            module = importlib.import_module(where)
    if not hasattr(module, attribute):
        raise ExportError(f"{where} has no {attribute!r}.")
    return getattr(module, attribute)


def seeded(seed: int) -> None:
    """Seed torch's generator, from which a builder draws weights."""
    torch.default_generator.manual_seed(seed)
