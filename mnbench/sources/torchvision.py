"""Networks of torchvision, by name: `torchvision:mobilenet_v3_small`. Their weights are random, scaled as the catalog's are."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mnbench.errors import UnknownNameError
from mnbench.records import BATCH, Format, Model, Source
from mnbench.sources.timm import INPUT, image_model

if TYPE_CHECKING:
    from mnbench.sources.modules import OpenedModule

CHW = (3, 224, 224)
"""Images of a network whose weights in torchvision name no other size."""


class TorchvisionSource:
    gives = Format.TORCH_MODULE
    packages: tuple[str, ...] = ("torch", "torchvision")

    def missing(self) -> str | None:
        if importlib.util.find_spec("torchvision") is None or importlib.util.find_spec("torch") is None:
            return "models of torchvision need the packages torch and torchvision: pip install 'mnbench[zoo]'."
        return None

    def describe(self, locator: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """Return the model of a name, which torchvision is asked for when it is exported."""
        return image_model("torchvision", locator, shapes)

    def open_module(self, source: Source, seed: int) -> OpenedModule:
        """Build the network. Raises UnknownNameError for a name that torchvision does not have."""
        from mnbench.sources.modules import OpenedModule, explained, seeded
        from mnbench.zoo.build import initialise
        from mnbench.zoo.torchvision_operators import register_missing_operators

        register_missing_operators()
        from torchvision import models

        if source.locator not in (known := models.list_models()):
            raise UnknownNameError("model of torchvision", source.locator, known)
        seeded(seed)
        with explained(f"torchvision.models.get_model({source.locator!r})"):
            whole = {"weights_backbone": None} if _detects(source.locator) else {}
            module = models.get_model(source.locator, weights=None, **whole).eval()
            size = _size_of(source.locator)
            if not _detects(source.locator):
                initialise(module, size)
        return OpenedModule(module=module, shapes={INPUT: (BATCH, *size)})


def _detects(name: str) -> bool:
    """Say whether a network has a backbone with weights of its own, as detectors and segmenters have."""
    return any(part in name for part in ("rcnn", "ssd", "retinanet", "fcos", "deeplab", "fcn_", "lraspp"))


def _size_of(name: str) -> tuple[int, int, int]:
    """Return the images that the network's published weights take."""
    from torchvision import models

    try:
        weights = next(iter(models.get_model_weights(name)), None)
        crop = weights.transforms().crop_size[0] if weights is not None else CHW[1]
    except (AttributeError, ValueError, TypeError, IndexError):
        return CHW
    return CHW[0], int(crop), int(crop)
