"""Loads trained weights into the zoo's networks, whoever named their keys.

A scheme is the table of another package's layer names beside this project's. A state dict fits a scheme when all its
keys translate and the result has the network's keys and shapes. Nothing is matched by order.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mnbench.errors import UsageError
from mnbench.zoo.mobilenet_v1 import MobileNetV1
from mnbench.zoo.mobilenet_v2 import MobileNetV2

SHOWN = 4
"""Keys of each kind that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How another package names the layers of one network.

    `layers` maps a pattern of its layer name to ours, where {block} is the block's index. Packages that number blocks
    within stages give `stage_starts`, the index of each stage's first block; {block} is then the start plus the index.
    """

    name: str
    layers: tuple[tuple[str, str], ...]
    stage_starts: tuple[int, ...] = ()

    def translate(self, key: str) -> str | None:
        """Return our name of a parameter or buffer, or None if the scheme does not know its layer."""
        layer, _, tensor = key.rpartition(".")
        for pattern, ours in self.layers:
            if found := re.fullmatch(pattern, layer):
                return f"{ours.format(block=self._block(found.groupdict()))}.{tensor}"
        return None

    def _block(self, groups: dict[str, str]) -> str:
        if "stage" not in groups:
            return groups.get("block", "")
        stage = int(groups["stage"])
        return str(self.stage_starts[stage] + int(groups["index"])) if stage < len(self.stage_starts) else "?"


STAGE = r"blocks\.(?P<stage>\d)\.(?P<index>\d)"
BLOCK = r"features\.(?P<block>\d+)\.conv"

TIMM_V1 = Scheme(
    name="timm mobilenetv1",
    stage_starts=(1, 2, 4, 6, 12),
    layers=(
        (r"conv_stem", "features.0.conv"),
        (r"bn1", "features.0.bn"),
        (rf"{STAGE}\.conv_dw", "features.{block}.depthwise.conv"),
        (rf"{STAGE}\.bn1", "features.{block}.depthwise.bn"),
        (rf"{STAGE}\.conv_pw", "features.{block}.pointwise.conv"),
        (rf"{STAGE}\.bn2", "features.{block}.pointwise.bn"),
        (r"classifier", "classifier"),
    ),
)

TIMM_V2 = Scheme(
    name="timm mobilenetv2",
    stage_starts=(1, 2, 4, 7, 11, 14, 17),
    layers=(
        (r"conv_stem", "features.0.conv"),
        (r"bn1", "features.0.bn"),
        # The first block has no expansion: its conv_pw is what the others call conv_pwl.
        (r"blocks\.0\.0\.conv_dw", "features.1.depthwise.conv"),
        (r"blocks\.0\.0\.bn1", "features.1.depthwise.bn"),
        (r"blocks\.0\.0\.conv_pw", "features.1.project.conv"),
        (r"blocks\.0\.0\.bn2", "features.1.project.bn"),
        (rf"{STAGE}\.conv_pw", "features.{block}.expand.conv"),
        (rf"{STAGE}\.bn1", "features.{block}.expand.bn"),
        (rf"{STAGE}\.conv_dw", "features.{block}.depthwise.conv"),
        (rf"{STAGE}\.bn2", "features.{block}.depthwise.bn"),
        (rf"{STAGE}\.conv_pwl", "features.{block}.project.conv"),
        (rf"{STAGE}\.bn3", "features.{block}.project.bn"),
        (r"conv_head", "features.18.conv"),
        (r"bn2", "features.18.bn"),
        (r"classifier", "classifier"),
    ),
)

TORCHVISION_V2 = Scheme(
    name="torchvision mobilenet_v2",
    layers=(
        (r"features\.(?P<block>0|18)\.0", "features.{block}.conv"),
        (r"features\.(?P<block>0|18)\.1", "features.{block}.bn"),
        # The first block has no expansion, so its parts are numbered one lower.
        (r"features\.1\.conv\.0\.0", "features.1.depthwise.conv"),
        (r"features\.1\.conv\.0\.1", "features.1.depthwise.bn"),
        (r"features\.1\.conv\.1", "features.1.project.conv"),
        (r"features\.1\.conv\.2", "features.1.project.bn"),
        (rf"{BLOCK}\.0\.0", "features.{block}.expand.conv"),
        (rf"{BLOCK}\.0\.1", "features.{block}.expand.bn"),
        (rf"{BLOCK}\.1\.0", "features.{block}.depthwise.conv"),
        (rf"{BLOCK}\.1\.1", "features.{block}.depthwise.bn"),
        (rf"{BLOCK}\.2", "features.{block}.project.conv"),
        (rf"{BLOCK}\.3", "features.{block}.project.bn"),
        (r"classifier\.1", "classifier"),
    ),
)

SCHEMES: tuple[tuple[type[nn.Module], tuple[Scheme, ...]], ...] = (
    (MobileNetV1, (TIMM_V1,)),
    (MobileNetV2, (TORCHVISION_V2, TIMM_V2)),
)


def load_weights(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy `state_dict` into `module`.

    The keys may be the module's own, torchvision's `mobilenet_v2` or timm's `mobilenetv1_*` and `mobilenetv2_*`. The
    counters `num_batches_tracked`, which no inference reads, may be absent.

    Raises UsageError naming the keys and shapes that do not fit, and then leaves `module` as it was.
    """
    own = module.state_dict()
    schemes = [scheme for kind, schemes in SCHEMES if isinstance(module, kind) for scheme in schemes]
    candidates = [("this project", dict(state_dict))]
    candidates += [(scheme.name, _renamed(state_dict, scheme)) for scheme in schemes]
    source, tensors = min(candidates, key=lambda candidate: len(own.keys() ^ candidate[1].keys()))
    if misfits := _misfits(own, tensors):
        raise UsageError(
            f"these weights do not fit {type(module).__name__} (keys read as those of {source}): {'; '.join(misfits)}. "
            "Give the state dict of the same network and width."
        )
    fitting = OrderedDict({key: tensors.get(key, mine) for key, mine in own.items()})
    fitting._metadata = own._metadata  # type: ignore[attr-defined] # versions of layers: what fits is in the module's own form
    module.load_state_dict(fitting)


def _renamed(state_dict: Mapping[str, Tensor], scheme: Scheme) -> dict[str, Tensor]:
    """Return the tensors under our keys; a key that the scheme does not know stays as it is."""
    return {scheme.translate(key) or key: tensor for key, tensor in state_dict.items()}


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unknown = [key for key in given if key not in own]
    shapes = [
        f"{key} is {tuple(tensor.shape)} instead of {tuple(own[key].shape)}"
        for key, tensor in given.items()
        if key in own and tensor.shape != own[key].shape
    ]
    kinds = (("missing", missing), ("unknown", unknown), ("wrong shape", shapes))
    return [f"{kind}: {_listed(keys)}" for kind, keys in kinds if keys]


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
