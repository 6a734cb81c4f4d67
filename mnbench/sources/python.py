"""Functions that return a torch module: `FILE.py:FUNCTION` and `package.module:FUNCTION`."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mnbench.errors import UsageError
from mnbench.records import Format, Model, Source
from mnbench.sources.naming import id_of

if TYPE_CHECKING:
    from mnbench.sources.modules import OpenedModule


class PythonSource:
    gives = Format.TORCH_MODULE
    packages: tuple[str, ...] = ("torch",)

    def missing(self) -> str | None:
        if importlib.util.find_spec("torch") is None:
            return "a function that returns a torch module needs the package torch: pip install 'mnbench[torch]'."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of `FILE.py:FUNCTION` or `package.module:FUNCTION`, whose code is not run before it is exported.

        Raises UsageError for a file that is not there and for a text of another form.
        """
        where, _, function = locator.rpartition(":")
        if not where or not function.isidentifier():
            raise UsageError(f"{locator!r} is neither FILE.py:FUNCTION nor package.module:FUNCTION.")
        path = Path(where)
        digest = ""
        if path.suffix == ".py":
            try:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise UsageError(f"{where} cannot be read: {error.strerror}.") from error
            where = str(path.absolute())
        elif "/" in where:
            raise UsageError(f"{locator!r}: {where} is no Python file; its name must end in .py.")
        return Model(
            id=id_of(f"{path.stem if digest else where}_{function}"),
            title=locator,
            source=Source(scheme="python", locator=f"{where}:{function}", sha256=digest),
        )

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Call the function. Raises ExportError for whatever it raises, and for what it returns if that is no module."""
        from mnbench.sources.modules import OpenedModule, explained, import_from, module_of, seeded

        where, _, function = source.locator.rpartition(":")
        builder = import_from(where, function)
        seeded(seed)
        with explained(f"{function}()"):
            made = builder()
        module, example = module_of(made, f"{function}()")
        return OpenedModule(module=module, example=example)
