"""Single operators at the V1 shapes. As graphs of their own they are mostly layout conversion in some runtimes
(docs/methodology.md), so these figures are alarms for one runtime's changes and say little about a layer inside a network:
`mnbench study separable` measures that, as slopes over chains."""

import pytest

from mnbench import catalog
from tests.benchmarks.timing import BACKENDS, V1_LAYERS, time_session


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operator", [*catalog.suite("v1-operators"), *V1_LAYERS])
def test_operator(benchmark, mnbench_session, operator, backend):
    size = catalog.card(operator).resolution
    benchmark.group = f"operator at {size}x{size}" + (", strided or widening" if operator in V1_LAYERS else "")
    time_session(benchmark, *mnbench_session(operator, backend), seconds=0.8)
