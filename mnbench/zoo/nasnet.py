"""NASNet-A mobile (Zoph et al. 2018, arXiv:1707.07012), from pytorchcv."""

from __future__ import annotations

from torch import nn


def nasnet_a_mobile() -> nn.Module:
    """NASNet-A (4 @ 1056): images (N, 3, 224, 224) to logits (N, 1000). The final pooling takes no other size."""
    from pytorchcv.models.nasnet import nasnet_4a1056  # here, so that the other networks need no pytorchcv

    module: nn.Module = nasnet_4a1056()
    return module
