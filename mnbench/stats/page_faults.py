"""Memory that a runtime returns to the kernel in each inference, and fetches again: its time is then part of the latency."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from mnbench.records import Case, Caveat, Samples

PAGE_FAULTS = "page-faults"
FAULT_NS = 500.0
"""A low guess of what one costs: entering the kernel, clearing 4 KiB, giving it back. Measured on a virtual EPYC: 1,600."""
FAULTS_SHARE = 0.01
"""Of the latency. Less is within the interval of most ratios."""
FEWEST_FAULTS = 1.0
"""Per inference. What a measuring process does by itself is one in a hundred inferences."""


def caveats(case: Case, launches: Iterable[Samples]) -> Iterable[Caveat]:
    """Say when page faults are a visible share of a case's steady latency; nothing where they were not counted."""
    rounds = [r for samples in launches for r in samples.rounds if r.regime == "steady" and r.wall_ns and r.latencies_ns]
    counted = [(r.page_faults, r) for r in rounds if r.page_faults is not None]
    per_inference = _median([faults / len(r.latencies_ns) for faults, r in counted])
    share = _median([FAULT_NS * faults / r.wall_ns for faults, r in counted])
    if per_inference >= FEWEST_FAULTS and share >= FAULTS_SHARE:
        yield Caveat(
            code=PAGE_FAULTS,
            subject=case.id,
            observed=f"{per_inference:,.0f} page faults per inference: the allocator returns memory to the kernel in each "
            "inference and fetches it again",
            advice="Its time depends on the allocator's state and may differ in your own program. To keep the memory, here and "
            "there: MALLOC_TOP_PAD_=268435456 with glibc, or preload tcmalloc or jemalloc. MALLOC_TRIM_THRESHOLD_ needs "
            "MALLOC_MMAP_THRESHOLD_ of the same size: alone it makes glibc map every large block anew.",
        )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
