"""One contract for every profiler: the nodes take time, and every layer that multiplies is one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnbench import backends, environment
from mnbench.backends import profilers
from mnbench.errors import WorkerError
from mnbench.export import ensure_all
from mnbench.measure.messages import OpenRequest
from mnbench.measure.profiling import profile
from mnbench.records import Case
from mnbench.studies.layers.shares import NodeTimes, Profile, parts_of, unclaimed
from tests.builders import spec_of

NETWORKS = ("mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224", "shufflenet_v1_g3_1.5_224", "nasnet_a_mobile_224")
SMALLEST, CHAIN = "mobilenet_v1_0.25_128", "separable_k3_r14_i64_o64_s1_x2"
NAMES = tuple(name for name in profilers.PROFILERS if backends.get(name).missing() is None)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def a_request(cache, model, name):
    case = Case(model=model, backend=name)
    wanted = (spec_of(case, seed=0), backends.get(name).format)
    return OpenRequest(
        case=case, artifact=ensure_all([wanted], cache)[wanted], cache=str(cache), cpus=environment.choose_cpus(1)
    )


@pytest.mark.parametrize("name", profilers.PROFILERS)
def test_every_profiler_belongs_to_a_backend(name):
    assert backends.get(name).name == name
    assert callable(profilers.get(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [SMALLEST, CHAIN, *NETWORKS])
def test_every_layer_is_one_node_and_the_nodes_do_not_take_longer_than_the_whole(cache, name, model):
    request = a_request(cache, model, name)
    reply = profile(request, timeout_s=120.0)
    nodes = tuple(
        NodeTimes(name=n.name, type=n.type, nodes=n.nodes, multiplies=n.multiplies, modules=n.modules, ns=(n.ns,))
        for n in reply.nodes
    )
    seen = Profile(model=model, backend=name, cut_ns=reply.cut_ns, whole_ns=(reply.whole_ns,), nodes=nodes)
    layers = request.artifact.facts.layers
    parts = parts_of(seen, layers)
    assert unclaimed(parts, layers) == []
    assert sorted(layer.name for part in parts for layer in part.layers) == sorted(layer.name for layer in layers)
    assert all(part.certain for part in parts)
    assert all(part.layers for part in parts if part.node.multiplies)
    assert 0 < sum(node.ns for node in reply.nodes) <= reply.whole_ns
    assert all(node.ns >= 0 for node in reply.nodes)
    assert reply.inferences >= 12
    assert (reply.effective["threads"], reply.effective["precision"]) == ("1", "fp32")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_computes_something_else_is_not_profiled(cache, name):
    request = a_request(cache, SMALLEST, name)
    other = (spec_of(request.case, seed=1), request.artifact.format)
    swapped = replace(request.artifact, path=ensure_all([other], cache)[other].path)
    with pytest.raises(WorkerError, match="away from torch's"):
        profile(replace(request, artifact=swapped), timeout_s=120.0)


def test_a_process_that_gives_no_answer_is_ended_with_a_sentence(cache):
    with pytest.raises(WorkerError, match=r"gave no answer within 0\.05 s"):
        profile(a_request(cache, SMALLEST, "ort"), timeout_s=0.05)
