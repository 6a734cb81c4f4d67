"""Networks of timm, by name: `timm:mobilenetv3_large_100`. Their weights are random, scaled as the catalog's are."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mnbench.errors import UnknownNameError
from mnbench.records import BATCH, Format, Model, Source, TensorSpec
from mnbench.sources.naming import id_of

if TYPE_CHECKING:
    from mnbench.sources.modules import OpenedModule

INPUT = "x"
"""What every network of timm and torchvision calls its image."""


class TimmSource:
    gives = Format.TORCH_MODULE
    packages: tuple[str, ...] = ("torch", "torchvision", "timm")

    def missing(self) -> str | None:
        if importlib.util.find_spec("timm") is None or importlib.util.find_spec("torch") is None:
            return "models of timm need the packages torch and timm: pip install 'mnbench[zoo]'."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of a name, which timm is asked for when it is exported."""
        return image_model("timm", locator, shapes)

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Build the network. Raises UnknownNameError for a name that timm does not have."""
        from mnbench.sources.modules import OpenedModule, explained, seeded
        from mnbench.zoo.build import initialise
        from mnbench.zoo.torchvision_operators import register_missing_operators

        register_missing_operators()
        import timm

        if not timm.is_model(source.locator):
            raise UnknownNameError("model of timm", source.locator, timm.list_models())
        seeded(seed)
        with explained(f"timm.create_model({source.locator!r})"):
            module = timm.create_model(source.locator, pretrained=False, exportable=True).eval()
            size = input_size(cast(Mapping[str, Any], module.pretrained_cfg))
            initialise(module, size)
        return OpenedModule(module=module, shapes={INPUT: (BATCH, *size)})


def input_size(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return (channels, height, width) of a network's own images."""
    channels, height, width = config["input_size"]
    return int(channels), int(height), int(width)


def image_model(scheme: str, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Return the record of a network that takes one batch of images, of its own size or of one that was asked for."""
    given = shapes.get(INPUT)
    return Model(
        id=id_of(f"{scheme}_{name}"),
        title=f"{scheme}:{name}",
        source=Source(scheme=scheme, locator=name),
        inputs=(
            TensorSpec(name=INPUT, dtype="float32", dims=(BATCH, *given[1:]))
            if given
            else TensorSpec(name=INPUT, dtype="", dims=()),
        ),
    )
