"""Profiles mapped to layers and added up by kind: hand-worked."""

from __future__ import annotations

import math

import onnx
import pytest
from onnx import helper

from mnbench.backends import profilers
from mnbench.backends.ort_profile import ModuleNames
from mnbench.backends.ort_profile import nodes_of as ort_nodes
from mnbench.backends.profilers import Node, compact
from mnbench.backends.torch_profile import nodes_of as torch_nodes
from mnbench.errors import UsageError, WorkerError
from mnbench.records import LayerCost
from mnbench.studies.layers import shares
from mnbench.studies.layers.shares import NodeTimes, Profile


def a_layer(name="a.conv", kind="pointwise", params=10, madds=100, elements=5):
    return LayerCost(name=name, kind=kind, params=params, madds=madds, input_elements=elements, output_elements=elements,
                     output_shape=(1, 1, 1, elements))  # fmt: skip


def a_node(name="n", kind="Conv", ns=(1.0, 1.0, 1.0), modules=(), multiplies=None, nodes=1):
    multiplies = bool(modules) if multiplies is None else multiplies
    return NodeTimes(name=name, type=kind, ns=ns, modules=modules, multiplies=multiplies, nodes=nodes)


def a_profile(*nodes, whole_ns=(100.0, 100.0, 100.0), cut_ns=0.0):
    return Profile(model="m", backend="b", cut_ns=cut_ns, whole_ns=whole_ns, nodes=nodes)


DW, PW = a_layer("f.1.depthwise.conv", "depthwise"), a_layer("f.1.pointwise.conv", "pointwise")


def test_a_node_is_the_layer_whose_weights_it_holds():
    profile = a_profile(
        a_node(modules=(PW.name,)), a_node("r", "ReorderInput"), a_node(modules=(DW.name,)), a_node("x", "Relu")
    )
    parts = shares.parts_of(profile, [DW, PW])
    assert [(part.kind, part.layers) for part in parts] == [
        ("pointwise", (PW,)), ("layout", ()), ("depthwise", (DW,)), ("other", ()),
    ]  # fmt: skip
    assert shares.unclaimed(parts, [DW, PW]) == []
    assert all(part.certain for part in parts)


def test_names_are_matched_where_a_writer_of_graphs_has_replaced_the_dots():
    parts = shares.parts_of(a_profile(a_node(modules=("_0_conv",))), [a_layer("0.conv")])
    assert parts[0].layers == (a_layer("0.conv"),)


def test_layers_fused_into_one_node_share_a_kind_of_their_own():
    parts = shares.parts_of(a_profile(a_node(modules=(DW.name, PW.name))), [DW, PW])
    assert (parts[0].kind, parts[0].layers) == ("fused", (DW, PW))
    same = shares.parts_of(a_profile(a_node(modules=("a", "b"))), [a_layer("a"), a_layer("b")])
    assert same[0].kind == "pointwise"


def test_a_layer_is_claimed_once_and_a_module_that_runs_twice_by_two_nodes():
    twice = [a_layer("a", madds=1), a_layer("a", madds=2)]
    parts = shares.parts_of(a_profile(*(a_node(modules=("a",)) for _ in range(3))), twice)
    assert [part.layers for part in parts] == [(twice[0],), (twice[1],), ()]
    assert parts[2].kind == "unjoined"


def test_nameless_nodes_that_multiply_get_what_is_left_in_order_if_there_are_as_many():
    nodes = (a_node(multiplies=True), a_node(modules=("b",)), a_node(multiplies=True))
    layers = [a_layer("a", "standard"), a_layer("b"), a_layer("c", "linear")]
    parts = shares.parts_of(a_profile(*nodes), layers)
    assert [(part.kind, part.certain) for part in parts] == [("standard", False), ("pointwise", True), ("linear", False)]
    fewer = shares.parts_of(a_profile(*nodes[:2]), layers)
    assert fewer[0].layers == ()
    assert shares.unclaimed(fewer, layers) == ["a", "c"]


def test_shares_of_time_are_computed_within_a_launch():
    """Launch 2 is twice as slow throughout: the shares are those of the others, 30 and 70 per cent, and do not spread."""
    profile = a_profile(a_node(modules=(DW.name,), ns=(3.0, 6.0, 3.0)), a_node(modules=(PW.name,), ns=(7.0, 14.0, 7.0)))
    found = shares.time_shares(shares.parts_of(profile, [DW, PW]), 0.95)
    assert found["depthwise"].value == pytest.approx(30)
    assert found["pointwise"].value == pytest.approx(70)
    assert found["depthwise"].high - found["depthwise"].low < 1e-9


def test_the_interval_of_a_share_is_students():
    """Shares of 10, 20 and 30 per cent: mean 20, s 10, t(0.975, 2) = 4.3027: 20 ± 24.84, cut off at 0."""
    profile = a_profile(a_node(modules=(DW.name,), ns=(10.0, 20.0, 30.0)), a_node(modules=(PW.name,), ns=(90.0, 80.0, 70.0)))
    share = shares.time_shares(shares.parts_of(profile, [DW, PW]), 0.95)["depthwise"]
    assert (share.value, share.low) == (pytest.approx(20), 0.0)
    assert share.high == pytest.approx(20 + 4.302653 * 10 / math.sqrt(3), rel=1e-6)


def test_kinds_are_added_up_within_each_launch():
    """Layout 10, 20, 30 and the rest 30, 20, 10 of 100: each spreads, together they are 40 per cent in every launch."""
    nodes = (a_node("r", "Reorder", ns=(10.0, 20.0, 30.0)), a_node("x", "Relu", ns=(30.0, 20.0, 10.0)),
             a_node(modules=(PW.name,), ns=(60.0,) * 3))  # fmt: skip
    parts = shares.parts_of(a_profile(*nodes), [PW])
    share = shares.share_of_kinds(parts, ("layout", "other"), 0.95)
    assert (share.low, share.value, share.high) == pytest.approx((40, 40, 40))
    assert shares.share_of_kinds(parts, ("linear",), 0.95).high == 0.0
    assert shares.share_of_kinds(parts[:0], ("linear",), 0.95) is None


def test_a_launch_that_saw_no_time_gives_no_share_instead_of_a_division_by_it():
    parts = shares.parts_of(a_profile(a_node(ns=(0.0, 1.0, 1.0))), [])
    assert shares.time_shares(parts, 0.95) == {}


def test_two_launches_give_no_share():
    profile = a_profile(a_node(modules=(DW.name,), ns=(1.0, 1.0)), whole_ns=(1.0, 1.0))
    parts = shares.parts_of(profile, [DW])
    assert shares.time_shares(parts, 0.95) == {}
    assert shares.sum_over_whole(parts, profile.whole_ns, 0.95) is None


def test_the_sum_is_held_against_both_wholes():
    profile = a_profile(a_node(modules=(DW.name,), ns=(60.0, 61.0, 59.0)), a_node("r", "Reorder", ns=(30.0, 29.0, 31.0)))
    parts = shares.parts_of(profile, [DW])
    assert shares.sum_over_whole(parts, profile.whole_ns, 0.95).value == pytest.approx(0.9)
    steady = {launch: math.log(120.0) for launch in range(3)}
    assert shares.sum_over_steady(parts, steady, 0.95).value == pytest.approx(0.75)
    assert shares.sum_over_steady(parts, {}, 0.95) is None


def test_what_cutting_times_takes_off_grows_with_the_nodes():
    """200 nodes lose half a microsecond each of an inference of 1 ms: 10 per cent."""
    profile = a_profile(a_node("Relu", "Relu", nodes=200), whole_ns=(1e6, 1e6, 1e6), cut_ns=500.0)
    assert shares.cut_pct(profile, shares.parts_of(profile, [])) == pytest.approx(10)


def test_the_profilers_own_work_is_taken_off_each_node_alike():
    """Nodes of 60 and 50 in an inference of 100, so 10 too many: 2 for each of 5 nodes. 58 of 100, and 50 - 4 * 2 = 42."""
    profile = a_profile(a_node(modules=(PW.name,), ns=(60.0,) * 3), a_node("Relu", "Relu", ns=(50.0,) * 3, nodes=4))
    parts = shares.parts_of(profile, [PW])
    assert shares.shares_less_profiling(parts, (100.0,) * 3) == {"pointwise": 58.0, "other": 42.0}
    short = a_profile(*profile.nodes, a_node("Reshape", "Reshape", ns=(1.0,) * 3))
    assert shares.shares_less_profiling(shares.parts_of(short, [PW]), (100.0,) * 3) == {}  # not 1.8 of 1 each
    assert shares.shares_less_profiling(parts, (120.0,) * 3) == shares.shares_less_profiling(parts, ()) == {}


def test_a_kind_that_takes_no_time_in_a_launch_has_no_time_of_its_own():
    part = shares.parts_of(a_profile(a_node(ns=(0.0, 1.0, 1.0))), [])[0]
    assert shares.time_ns(part, 0.95) is None


def test_shares_of_counts_and_bytes_by_hand():
    layers = [a_layer("a", "depthwise", params=9, madds=30), a_layer("b", "pointwise", params=27, madds=70)]
    assert shares.count_shares(layers) == {"depthwise": (30.0, 25.0), "pointwise": (70.0, 75.0)}
    nothing = [a_layer("a", "depthwise", params=0, madds=0)]
    assert shares.count_shares(nothing) == {"depthwise": (0.0, 0.0)}
    assert shares.bytes_of(a_layer(params=10, elements=5)) == 4 * (10 + 5 + 5)


def test_what_multiplies_nothing_is_added_up_by_type():
    nodes = [Node(name="c", type="Conv", ns=5.0, multiplies=True), Node(name="r1", type="Relu", ns=1.0),
             Node(name="r2", type="Relu", ns=2.0), Node(name="f", type="Clip", ns=0.0)]  # fmt: skip
    assert compact(nodes) == [nodes[0], Node(name="Relu", type="Relu", ns=3.0, nodes=2)]


def test_a_backend_without_a_profiler_is_told_from_those_that_have_one():
    with pytest.raises(UsageError, match=r"backend 'null' has no profiler.*ort, openvino, torch"):
        profilers.get("null")


def a_graph():
    nodes = [
        helper.make_node("Conv", ["x", "f.0.conv.weight"], ["c0"], name="node_Conv_1"),
        helper.make_node("Clip", ["c0"], ["h0"], name="n4"),
        helper.make_node("Conv", ["h0", "f.1.conv.weight"], ["c1"], name="node_Conv_2"),
        helper.make_node("Gemm", ["c1", "unnamed"], ["y"], name="node_Gemm"),
    ]
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    return helper.make_graph(nodes, "g", [value], [value])


def test_a_node_of_the_optimised_graph_leads_to_its_module():
    names = ModuleNames(a_graph())
    assert names.of("h0_nchwc") == ("f.0.conv",)  # convolution and activation, moved to the blocked layout
    assert names.of("c1_nchwc") == ("f.1.conv",)
    assert names.of("node_Conv_2") == ("f.1.conv",)
    assert names.of("node_Gemm") == ("node_Gemm",)  # its weight is called otherwise, so the layer is called like the node
    assert names.of("ReorderInput") == ()


def an_event(name, dur, index="1", op="Conv"):
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": {"node_index": index, "op_name": op}}


def test_onnxruntimes_events_are_averaged_behind_the_warm_up():
    events = [an_event("h0_nchwc", 90), an_event("h0_nchwc", 10), {"cat": "Session", "name": "model_run", "dur": 1, "args": {}},
              an_event("h0_nchwc", 20)]  # fmt: skip
    assert ort_nodes(events, 1, 3, a_graph()) == [
        Node(name="h0_nchwc", type="Conv", ns=15_000.0, multiplies=True, modules=("f.0.conv",))
    ]
    with pytest.raises(WorkerError, match="does not hold 4 inferences"):
        ort_nodes(events, 1, 4, a_graph())


def test_torchs_operators_are_layers_in_their_order_unless_their_number_differs():
    timed = [("aten::conv2d", 10.0), ("aten::relu", 2.0), ("aten::linear", 5.0),
             ("aten::conv2d", 20.0), ("aten::relu", 4.0), ("aten::linear", 7.0)]  # fmt: skip
    nodes = torch_nodes(timed, 2, ["a", "b"])
    assert [(node.ns, node.modules) for node in nodes] == [(15.0, ("a",)), (3.0, ()), (6.0, ("b",))]
    assert all(node.modules == () for node in torch_nodes(timed, 2, ["a"]))
    with pytest.raises(WorkerError, match="4 inferences of the same operators"):
        torch_nodes(timed, 4, ["a", "b"])
