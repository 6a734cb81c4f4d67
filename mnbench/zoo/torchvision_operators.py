"""torchvision beside a torch that it was not built for."""

from __future__ import annotations

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Schemas that torchvision's Python code looks up at its import, as its documentation of `torchvision.ops` has them."""

_kept: list[object] = []
"""Libraries of schemas, which torch forgets when nobody holds them."""


def register_missing_operators() -> None:
    """Register the schemas of torchvision's own operators where its compiled part did not: it is built for one torch only.

    To be called before the import of torchvision, and of timm, which imports it. Without them that import fails, although the
    networks need none of these operators.
    """
    for schema in OPERATORS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(schema)  # type: ignore[no-untyped-call]
            _kept.append(library)
