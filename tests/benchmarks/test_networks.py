"""The six networks of the MobileNetV2 paper's table."""

import pytest

from mnbench import catalog
from tests.benchmarks.timing import BACKENDS, time_session


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("network", catalog.suite("v2-table"))
def test_network(benchmark, mnbench_session, network, backend):
    benchmark.group = network
    time_session(benchmark, *mnbench_session(network, backend), seconds=1.5)
