"""What every benchmark does with an open session."""

from mnbench.catalog.operators import Operator

BACKENDS = ("ort", "openvino")
V1_STRIDED = (("standard", 224, 3, 32), ("depthwise", 112, 64, 64), ("depthwise", 56, 128, 128), ("depthwise", 28, 256, 256),
              ("depthwise", 14, 512, 512))  # fmt: skip
STRIDED = tuple(
    Operator(kind=kind, resolution=resolution, in_channels=m, out_channels=n, kernel=3, stride=2, alone=1).name
    for kind, resolution, m, n in V1_STRIDED
)
"""MobileNetV1's layers of stride 2 (its paper's Table 1)."""


def time_session(benchmark, session, reply, *, seconds):
    """Time `session.run` for about `seconds`, and put what the runtime says of itself beside the figure."""
    benchmark.extra_info.update(reply.effective, max_rel_error=reply.max_rel_error)
    benchmark.pedantic(session.run, rounds=max(5, min(2000, round(seconds / typical_s(session)))), iterations=1)


def typical_s(session):
    """Return the seconds of one inference, from a few: only to choose how many to make."""
    import statistics

    from mnbench.measure.timing import time_for

    return statistics.median(time_for(session.run, 20_000_000)) / 1e9
