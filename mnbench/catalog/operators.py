"""Single convolutions at five shapes of MobileNetV1's Table 1, so that one layer can be exported and timed like a network."""

from __future__ import annotations

from mnbench.catalog.networks import APACHE, Network

V1_SHAPES = ((112, 32, 64), (56, 128, 128), (28, 256, 256), (14, 512, 512), (7, 1024, 1024))
"""(resolution, input channels, output channels) of five of its separable convolutions of stride 1."""

KINDS = ("standard", "depthwise", "pointwise", "separable")


def _operator(kind: str, resolution: int, in_channels: int, out_channels: int) -> Network:
    arguments: dict[str, float | int | str] = {"in_channels": in_channels}
    if kind != "depthwise":
        arguments["out_channels"] = out_channels
    return Network(
        name=f"{kind}_{resolution}_{in_channels}_{out_channels}",
        family=f"{kind}_convolution",
        build=f"mnbench.zoo.operators:{kind}_convolution",
        arguments=arguments,
        resolution=resolution,
        channels=in_channels,
        license=APACHE,
    )


OPERATORS = tuple(_operator(kind, *(shape if kind != "depthwise" else (shape[0], shape[1], shape[1])))
                  for shape in V1_SHAPES for kind in KINDS)  # fmt: skip
