"""What every benchmark does with an open session."""

from mnbench.catalog.operators import Operator

BACKENDS = ("ort", "openvino")
STRIDED = (("standard", 224, 3, 32), ("depthwise", 112, 64, 64), ("depthwise", 56, 128, 128), ("depthwise", 28, 256, 256),
           ("depthwise", 14, 512, 512))  # fmt: skip
WIDENING = ((56, 64, 128), (28, 128, 256), (14, 256, 512), (7, 512, 1024))


def _alone(kind: str, resolution: int, channels_in: int, channels_out: int, **sizes: int) -> str:
    return Operator(kind=kind, resolution=resolution, in_channels=channels_in, out_channels=channels_out, alone=1, **sizes).name


V1_LAYERS = (
    *(_alone(*shape, kernel=3, stride=2) for shape in STRIDED),
    *(_alone("pointwise", *shape, kernel=1) for shape in WIDENING),
    _alone("linear", 1, 1024, 1000, kernel=1),
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
