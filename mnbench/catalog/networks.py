"""Which networks the catalog holds, how each is built, and the suites they form.

A network is a name, a builder and its arguments. What was published about it stands in published.csv under its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How to build one network, without what was published about it."""

    name: str
    family: str
    build: str
    """`module:function`; called with `arguments`."""
    arguments: dict[str, float | int | str]
    resolution: int
    channels: int = 3
    weights: str | None = None
    """Address of trained weights that `mnbench.zoo.load_weights` reads. Never fetched by this project."""
    license: str
    packages: tuple[str, ...] = ()
    """Beside torch, whose code it is built with."""


APACHE = "Apache-2.0"
APACHE_TIMM = "Apache-2.0 (code), Apache-2.0 (weights, timm)"
APACHE_TORCHVISION = "Apache-2.0 (code), BSD-3-Clause (weights, torchvision)"
APACHE_CODE_TIMM = "Apache-2.0 (code, timm)"
BSD_TORCHVISION = "BSD-3-Clause (code, torchvision)"
MIT = "MIT (code, pytorchcv)"

V1_WIDTHS = (1.0, 0.75, 0.5, 0.25)
V1_RESOLUTIONS = (224, 192, 160, 128)

V2_WIDE = ((1.4, 224), (1.3, 224))  # the authors released the two wide networks at one resolution only
V2_WIDTHS = (1.0, 0.75, 0.5, 0.35)
V2_RESOLUTIONS = (224, 192, 160, 128, 96)

TIMM_RELEASE = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights"

# By name, not by width: the weights would fit any resolution, but their published accuracy belongs to one.
TRAINED: dict[str, tuple[str, str]] = {
    "mobilenet_v1_1.0_224": (
        "https://huggingface.co/timm/mobilenetv1_100.ra4_e3600_r224_in1k/resolve/main/model.safetensors",
        APACHE_TIMM,
    ),
    "mobilenet_v2_1.4_224": (f"{TIMM_RELEASE}/mobilenetv2_140_ra-21a4e913.pth", APACHE_TIMM),
    "mobilenet_v2_1.0_224": ("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", APACHE_TORCHVISION),
    "mobilenet_v2_0.5_224": (f"{TIMM_RELEASE}/mobilenetv2_050-3d30d450.pth", APACHE_TIMM),
}


def _mobilenet(family: str, width: float, resolution: int) -> Network:
    name = f"{family}_{width}_{resolution}"
    weights, license_ = TRAINED.get(name, (None, APACHE))
    return Network(
        name=name,
        family=family,
        build=f"mnbench.zoo.{family}:{family}",
        arguments={"width": width},
        resolution=resolution,
        weights=weights,
        license=license_,
    )


def _shufflenet(width: float) -> Network:
    return Network(
        name=f"shufflenet_v1_g3_{width}_224",
        family="shufflenet_v1",
        build="mnbench.zoo.shufflenet_v1:shufflenet_v1",
        arguments={"width": width},
        resolution=224,
        license=MIT,
        packages=("pytorchcv",),
    )


V1_GRID = tuple(_mobilenet("mobilenet_v1", width, px) for width in V1_WIDTHS for px in V1_RESOLUTIONS)
V2_GRID = tuple(
    _mobilenet("mobilenet_v2", width, px)
    for width, px in (*V2_WIDE, *((width, px) for width in V2_WIDTHS for px in V2_RESOLUTIONS))
)
OTHERS = (
    _shufflenet(1.5),
    _shufflenet(2.0),
    Network(
        name="nasnet_a_mobile_224",
        family="nasnet_a",
        build="mnbench.zoo.nasnet:nasnet_a_mobile",
        arguments={},
        resolution=224,
        license=MIT,
        packages=("pytorchcv",),
    ),
    Network(
        name="conv_mobilenet_1.0_224",
        family="mobilenet_v1",
        build="mnbench.zoo.mobilenet_v1:conv_mobilenet",
        arguments={"width": 1.0},
        resolution=224,
        license=APACHE,
    ),
    Network(
        name="shallow_mobilenet_1.0_224",
        family="mobilenet_v1",
        build="mnbench.zoo.mobilenet_v1:shallow_mobilenet",
        arguments={"width": 1.0},
        resolution=224,
        license=APACHE,
    ),
)


def _torchvision(name: str, family: str, network: str) -> Network:
    return Network(
        name=name,
        family=family,
        build="mnbench.zoo.modern:torchvision_network",
        arguments={"name": network},
        resolution=224,
        license=BSD_TORCHVISION,
        packages=("torchvision",),
    )


def _timm(name: str, family: str, network: str, resolution: int = 224) -> Network:
    return Network(
        name=name,
        family=family,
        build="mnbench.zoo.modern:timm_network",
        arguments={"name": network},
        resolution=resolution,
        license=APACHE_CODE_TIMM,
        packages=("timm", "torchvision"),
    )


MODERN = (
    _torchvision("mobilenet_v3_small_1.0_224", "mobilenet_v3", "mobilenet_v3_small"),
    _torchvision("mobilenet_v3_large_1.0_224", "mobilenet_v3", "mobilenet_v3_large"),
    _timm("mobilenet_v4_conv_small_224", "mobilenet_v4", "mobilenetv4_conv_small"),
    _timm("mobilenet_v4_conv_medium_256", "mobilenet_v4", "mobilenetv4_conv_medium", 256),
    _torchvision("efficientnet_b0_224", "efficientnet", "efficientnet_b0"),
    _timm("efficientnet_lite0_224", "efficientnet", "efficientnet_lite0"),
    _torchvision("shufflenet_v2_1.0_224", "shufflenet_v2", "shufflenet_v2_x1_0"),
    _torchvision("mnasnet_1.0_224", "mnasnet", "mnasnet1_0"),
    _torchvision("resnet_18_224", "resnet", "resnet18"),
    _torchvision("resnet_50_224", "resnet", "resnet50"),
    _timm("mobileone_s0_224", "mobileone", "mobileone_s0"),
    _timm("repvit_m0.9_224", "repvit", "repvit_m0_9"),
    _timm("fastvit_t8_256", "fastvit", "fastvit_t8", 256),
)

NETWORKS = (*V1_GRID, *V2_GRID, *OTHERS, *MODERN)

SUITES: dict[str, tuple[str, ...]] = {
    # The rows of the MobileNetV2 paper's Table 4, in its order.
    "v2-table": (
        "mobilenet_v1_1.0_224",
        "shufflenet_v1_g3_1.5_224",
        "shufflenet_v1_g3_2.0_224",
        "nasnet_a_mobile_224",
        "mobilenet_v2_1.0_224",
        "mobilenet_v2_1.4_224",
    ),
    "v1-grid": tuple(network.name for network in V1_GRID),
    "v2-grid": tuple(network.name for network in V2_GRID),
    "modern": tuple(network.name for network in MODERN),
}
