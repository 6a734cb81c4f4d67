"""The catalog's networks, and the operators and probes that names describe."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mnbench import catalog
from mnbench.catalog.probes import PROBE_FAMILY
from mnbench.errors import MissingPackageError, UsageError
from mnbench.records import BATCH, Format, Model, Source, TensorSpec

if TYPE_CHECKING:
    from mnbench.sources.modules import OpenedModule

INPUT = "input"


class CatalogSource:
    gives = Format.TORCH_MODULE
    packages: tuple[str, ...] = ("torch",)

    def missing(self) -> str | None:
        if importlib.util.find_spec("torch") is None:
            return "networks of the catalog need the package torch: pip install 'mnbench[all]', or give --models PATH.onnx."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return a network of the catalog.

        Raises UnknownNameError; UsageError for a shape other than its own; MissingPackageError where it is built by a package
        that is missing.
        """
        card = catalog.card(locator)
        if missing := [package for package in card.packages if importlib.util.find_spec(package) is None]:
            raise MissingPackageError(f"{card.name} needs the package {missing[0]}: pip install 'mnbench[zoo]'.")
        given = shapes.get(INPUT)
        if given is not None and tuple(given[1:]) != card.input_chw:
            size = "x".join(map(str, card.input_chw))
            raise UsageError(
                f"{card.name} takes images of {size}, not {'x'.join(map(str, given[1:]))}: choose another network."
            )
        return Model(
            id=card.name,
            title=card.name,
            source=Source(scheme="catalog", locator=card.name),
            inputs=(TensorSpec(name=INPUT, dtype="float32", dims=(BATCH, *card.input_chw)),),
            card=card,
        )

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Return the network in eval mode with weights drawn from `seed`."""
        from mnbench import zoo
        from mnbench.sources.modules import OpenedModule

        card = catalog.card(source.locator)
        return OpenedModule(module=zoo.build(card, seed=seed), shapes={INPUT: (BATCH, *card.input_chw)})


def is_probe(model: Model) -> bool:
    """Say whether a model is a kernel that measures the machine, and no network."""
    return model.card is not None and model.card.family == PROBE_FAMILY
