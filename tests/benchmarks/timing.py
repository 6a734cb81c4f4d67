"""What every benchmark does with an open session."""

from dataclasses import replace

from mnbench.studies.separable.grid import V1_LAYERS as TABLE_1

BACKENDS = ("ort", "openvino")
V1_LAYERS = tuple(
    replace(operator, alone=1).name
    for operator, _ in TABLE_1
    if operator.stride > 1 or (operator.in_channels != operator.out_channels and operator.resolution != 112)
)
"""MobileNetV1's layers (its paper's Table 1) that the suite `v1-operators` lacks."""


def time_session(benchmark, session, reply, *, seconds):
    """Time `session.run` for about `seconds`, and put what the runtime says of itself beside the figure."""
    benchmark.extra_info.update(reply.effective, max_rel_error=reply.max_rel_error)
    benchmark.pedantic(session.run, rounds=max(5, min(2000, round(seconds / typical_s(session)))), iterations=1)


def typical_s(session):
    """Return the seconds of one inference, from a few: only to choose how many to make."""
    import statistics

    from mnbench.measure.timing import time_for

    return statistics.median(time_for(session.run, 20_000_000)) / 1e9
