"""The torch reference: the seeded network's state, one seeded input, and torch's answer to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mnbench import catalog, zoo
from mnbench.export.cache import Made
from mnbench.records import ExportSpec


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write state.pt and feed.npz.

    The input is standard normal with shape (batch, *card.input_chw), from `spec.seed`: images normalised by mean and standard
    deviation look like that to a network.
    """
    card = catalog.card(spec.model)
    module = zoo.build(card, seed=spec.seed)
    generator = torch.Generator().manual_seed(spec.seed)
    x = torch.randn((spec.batch, *card.input_chw), generator=generator)
    with torch.inference_mode():
        y = module(x)
    torch.save(module.state_dict(), folder / "state.pt")
    np.savez(folder / "feed.npz", input=x.numpy(), output=y.numpy())
    counts = zoo.count(module, (1, *card.input_chw))
    return Made(
        main="state.pt",
        exporter=f"torch {torch.__version__}",
        max_abs_error=0.0,
        max_rel_error=0.0,
        params=counts.params,
        madds=counts.madds,
        uncounted=counts.uncounted,
        feed_path="",
    )
