"""ShuffleNet v1 with three groups (Zhang et al. 2017, arXiv:1707.01083): pytorchcv's class in the published layout.

pytorchcv's own factory scales the first convolution with the width: 36 channels at 1.5x give 299.6M multiply-adds, not
the published 292M. The authors' code (megvii-model/ShuffleNet-Series) keeps 24 there, and so does this layout.
"""

from __future__ import annotations

from torch import nn

from mnbench.errors import UsageError

GROUPS = 3
UNITS = (4, 8, 4)
"""Units of stages 2, 3 and 4: the first of each has stride 2 (Table 1 of the paper)."""

LAYOUTS = {
    # width: channels of the first convolution, channels of stages 2, 3 and 4
    0.5: (12, (120, 240, 480)),
    1.0: (24, (240, 480, 960)),
    1.5: (24, (360, 720, 1440)),
    2.0: (48, (480, 960, 1920)),
}


def shufflenet_v1(width: float = 1.0) -> nn.Module:
    """ShuffleNet v1, g = 3: images (N, 3, 224, 224) to logits (N, 1000).

    Raises UsageError for a width whose layout was not published.
    """
    from pytorchcv.models.shufflenet import ShuffleNet  # here, so that the other networks need no pytorchcv

    if width not in LAYOUTS:
        raise UsageError(f"ShuffleNet v1 has no published layout of width {width}. Known: {', '.join(map(str, LAYOUTS))}.")
    first, stages = LAYOUTS[width]
    channels = [[stage] * units for stage, units in zip(stages, UNITS, strict=True)]
    module: nn.Module = ShuffleNet(channels, init_block_channels=first, groups=GROUPS)
    return module
