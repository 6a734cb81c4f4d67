"""Networks after MobileNetV2, built by torchvision and timm without their weights.

Some of them are trained in one form and run in another: branches and normalisation become one convolution each
(reparameterisation). What is measured here is the form that runs, as a user of trained weights would deploy it.
"""

from __future__ import annotations

from torch import nn

from mnbench.zoo.torchvision_operators import register_missing_operators


def torchvision_network(name: str) -> nn.Module:
    """Return a network of torchvision: images (N, 3, H, W) to logits (N, 1000)."""
    register_missing_operators()
    from torchvision import models  # here, so that the other networks need no torchvision

    module: nn.Module = models.get_model(name, weights=None)
    return module


def timm_network(name: str) -> nn.Module:
    """Return a network of timm, in the form in which it is trained: images (N, 3, H, W) to logits (N, 1000)."""
    register_missing_operators()
    import timm  # here, so that the other networks need no timm

    module: nn.Module = timm.create_model(name, pretrained=False, exportable=True)
    return module


def for_inference(module: nn.Module) -> nn.Module:
    """Return a trained network in the form in which it runs; of one without such a form, the network itself."""
    if not type(module).__module__.startswith("timm."):
        return module
    from timm.utils.model import reparameterize_model

    fused: nn.Module = reparameterize_model(module, inplace=True)
    return fused.eval()
