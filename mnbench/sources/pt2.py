"""Programs that torch.export saved: `PATH.pt2`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mnbench.errors import ExportError, ModelFileError
from mnbench.graph.opening import HEAD_BYTES, ZIP, digest, open_regular, refuse_other_formats, shown
from mnbench.records import BATCH, Format, Model, Source
from mnbench.sources.naming import id_of

if TYPE_CHECKING:
    from mnbench.sources.modules import OpenedModule


class Pt2Source:
    gives = Format.TORCH_MODULE
    packages: tuple[str, ...] = ("torch",)

    def missing(self) -> str | None:
        if importlib.util.find_spec("torch") is None:
            return "a .pt2 file needs the package torch: pip install 'mnbench[torch]'."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of a file. Raises ModelFileError for one that cannot be read."""
        path = Path(locator)
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
        refuse_other_formats(path, head, "a program that torch.export saved", own=(ZIP,))
        if not head.startswith(ZIP.upper()):
            raise ModelFileError(f"the model file {shown(path)} is no program that torch.export saved: it is no zip archive.")
        return Model(
            id=id_of(path.stem),
            title=locator,
            source=Source(scheme="pt2", locator=str(path.absolute()), sha256=digest([path])),
        )

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Load the program. Raises ExportError for a file that torch cannot load."""
        import torch

        from mnbench.sources.modules import OpenedModule, explained

        with explained(f"loading {source.locator}"):
            program = torch.export.load(source.locator)
            module = program.module()
        given = program.example_inputs
        if given is not None and not given[1] and all(isinstance(each, torch.Tensor) for each in given[0]):
            shapes = {name: _dims(node) for name, node in _inputs(program)}
            free = any(isinstance(dim, str) for dims in shapes.values() for dim in dims)
            return OpenedModule(
                module=module, shapes=shapes, example=() if free else tuple(given[0]), exported=program, has_state=False
            )
        if given is not None and given[1]:
            raise ExportError(f"{source.locator} was exported with keyword inputs, which mnbench cannot fill.")
        return OpenedModule(
            module=module, shapes={name: _dims(node) for name, node in _inputs(program)}, exported=program, has_state=False
        )


def _inputs(program: object) -> list[tuple[str, object]]:
    """Return (name, node) of each of a program's inputs that are the user's."""
    names = set(program.graph_signature.user_inputs)  # type: ignore[attr-defined] # torch exports no stubs of it
    return [(node.name, node) for node in program.graph.nodes if node.op == "placeholder" and node.name in names]  # type: ignore[attr-defined]


def _dims(node: object) -> tuple[int | str, ...]:
    sizes = node.meta["val"].shape  # type: ignore[attr-defined]
    return tuple(size if isinstance(size, int) else BATCH if axis == 0 else str(size) for axis, size in enumerate(sizes))
