"""All files are exported before the first benchmark, together: alone, each would start torch anew."""

import pytest

from mnbench import backends, catalog
from mnbench.export import ensure_all
from mnbench.records import Case
from tests.benchmarks.timing import BACKENDS, V1_LAYERS
from tests.builders import spec_of


@pytest.fixture(scope="session", autouse=True)
def exported(mnbench_cache):
    models = (*catalog.suite("v2-table"), *catalog.suite("v1-operators"), *V1_LAYERS)
    cases = [Case(model=model, backend=backend) for model in models for backend in BACKENDS]
    ensure_all([(spec_of(case, seed=0), backends.get(case.backend).format) for case in cases], mnbench_cache)
