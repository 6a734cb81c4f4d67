"""What every benchmark does with an open session."""

BACKENDS = ("ort", "openvino")


def time_session(benchmark, session, reply, *, seconds):
    """Time `session.run` for about `seconds`, and put what the runtime says of itself beside the figure."""
    benchmark.extra_info.update(reply.effective, max_rel_error=reply.max_rel_error)
    benchmark.pedantic(session.run, rounds=max(5, min(2000, round(seconds / typical_s(session)))), iterations=1)


def typical_s(session):
    """Return the seconds of one inference, from a few: only to choose how many to make."""
    import statistics

    from mnbench.measure.timing import time_for

    return statistics.median(time_for(session.run, 20_000_000)) / 1e9
