"""Runs of the study of separable convolutions whose operators take times that are known."""

from dataclasses import replace

from mnbench.catalog.operators import cost, parse
from mnbench.studies.common.operator_slopes import single_of
from mnbench.studies.separable.grid import NETWORK, V1_LAYERS, plan_cases
from tests.conftest import a_launch, a_plan, a_round, a_run

EDGE_NS, TAIL_NS, SINGLE_EDGE_NS = 30_000.0, 5_000.0, 300_000.0
LAUNCHES = 4
BACKENDS = ("ort", "openvino")


def time_of(operator):
    """One copy's true time in ns: 60 MAdds a ns, a tenth of that for depthwise, 100 us for a pool's twin at least."""
    per_ns = 6.0 if operator.kind == "depthwise" else 60.0
    if operator.kind == "separable":
        depthwise = cost(replace(operator, kind="depthwise", out_channels=operator.in_channels)).madds
        return depthwise / 6.0 + (cost(operator).madds - depthwise) / 60.0
    return cost(operator).madds / per_ns


def latency_ns(case, network_factor):
    if case.model == "none":
        return 400
    if case.model == NETWORK:
        layers = sum(repeats * time_of(operator) for operator, repeats in V1_LAYERS)
        return network_factor * (layers + TAIL_NS)
    operator = parse(case.model)
    if operator == single_of(replace(operator, copies=1)) and operator.copies == 1:
        edge_ns = SINGLE_EDGE_NS * (operator.alone and operator.kind != "linear") + EDGE_NS
        return edge_ns + case.batch * time_of(operator)
    tail = TAIL_NS if operator.stride > 1 or operator.side_by_side else 0.0
    return EDGE_NS + operator.copies * (case.batch * time_of(operator) + tail)


def made_up(
    *, quick=True, factor=1.0, change=lambda case, launch, ns: ns, keep=lambda case: True, disturbed=lambda case, launch: False
):
    """Return the run of a plan whose latencies are those true times, all 3 % higher in every other launch."""
    cases = plan_cases(BACKENDS, quick=quick, memory_bytes=1 << 40, skipped=[])
    samples = [
        a_launch(case, launch, a_round(
            [int(change(case, launch, latency_ns(case, factor) * (1 + 0.03 * (launch % 2))))] * 3,
            disturbances=("changed CPU speed",) if disturbed(case, launch) else ()))
        for case in cases if keep(case) for launch in range(LAUNCHES)
    ]  # fmt: skip
    return a_run(a_plan(*cases, baseline=NETWORK, study="separable"), *samples)
