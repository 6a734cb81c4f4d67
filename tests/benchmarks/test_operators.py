"""Single convolutions at the five V1 shapes. As graphs of their own they are mostly layout conversion in some runtimes
(docs/methodology.md), so these figures are alarms for one runtime's changes and say little about a layer inside a network."""

import pytest

from mnbench import catalog
from tests.benchmarks.timing import BACKENDS, time_session


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operator", catalog.suite("v1-operators"))
def test_operator(benchmark, mnbench_session, operator, backend):
    _, resolution, *_ = operator.split("_")
    benchmark.group = f"convolution at {resolution}x{resolution}"
    time_session(benchmark, *mnbench_session(operator, backend), seconds=0.8)
