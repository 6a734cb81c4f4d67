"""How a launch's memory is laid out: drawn anew for each launch, so that it is part of the spread between launches.

What is the same in all launches is part of every figure and of no interval (docs/methodology.md). Drawn in the parent from the
plan's seed, the case and the launch, so that a resumed or repeated plan gives the same.
"""

from __future__ import annotations

import random

from mnbench.records import Layout
from mnbench.sources.feeds import PAGE_BYTES

LINE_BYTES = 64
"""Of a cache, and the widest vector: what every runtime's kernels are written for."""
REPLICAS = 3
"""Files of an artefact that launches use in turn, the first one included."""


def layout_of(seed: int, case_id: str, launch: int, *, process: str, files: int = 1) -> Layout:
    """Return the layout of a launch. `process` names the worker: in a sweep many cases share one, and its environment.

    Of `files` of the artefact, launch k uses number k modulo `files`.
    """
    buffers = random.Random(f"{seed}/buffers/{case_id}/{launch}")  # noqa: S311 - a layout, not a secret
    environment = random.Random(f"{seed}/environment/{process}/{launch}")  # noqa: S311
    return Layout(
        input_offset_bytes=LINE_BYTES * buffers.randrange(PAGE_BYTES // LINE_BYTES),
        output_offset_bytes=LINE_BYTES * buffers.randrange(PAGE_BYTES // LINE_BYTES),
        environment_bytes=environment.randrange(PAGE_BYTES),
        node_order=launch % files,
    )
