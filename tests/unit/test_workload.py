import os

import numpy as np

from mnbench.measure import workload
from mnbench.measure.workload import REMEMBERED, ReferenceStream, ReferenceWorkload, UsualSpeed


class Clock:
    """Says the next of some durations each time it is asked twice."""

    def __init__(self, durations_ns):
        self._moments_ns = [moment for duration in durations_ns for moment in (0, duration)]

    def __call__(self):
        return self._moments_ns.pop(0)


def test_of_a_reading_the_fastest_repetition_counts():
    assert ReferenceWorkload((0,), Clock([90, 71, 70, 300, 72])).time_ns() == 70


def test_of_several_cpus_the_slowest_counts_and_the_calling_thread_is_not_moved():
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    readings = [100 + 10 * place for place in range(len(cpus))]
    clock = Clock([reading for reading in readings for _ in range(workload.REPETITIONS)])
    assert ReferenceWorkload(cpus, clock).time_ns() == readings[-1]
    assert tuple(sorted(os.sched_getaffinity(0))) == cpus


def test_the_work_is_the_same_however_often_it_is_done():
    fixed = ReferenceWorkload((0,))
    fixed.time_ns()
    first = fixed._product.copy()
    fixed.time_ns()
    assert np.array_equal(fixed._product, first)
    assert np.allclose(first, 1.0)


def seen(usual: UsualSpeed, before_ns: int, after_ns: int) -> bool:
    usual.remember(before_ns, after_ns)
    return usual.differs(before_ns, after_ns)


def test_a_cpu_that_slows_down_for_good_is_soon_as_usual():
    usual = UsualSpeed()
    assert not any(seen(usual, 1000, 1001) for _ in range(REMEMBERED))
    judged = [seen(usual, 1300, 1300) for _ in range(REMEMBERED)]
    assert judged[0]
    assert judged.index(False) <= REMEMBERED // 2
    assert not any(judged[judged.index(False) :])


def test_while_a_neighbour_slows_half_of_the_rounds_the_others_stay_usual():
    usual = UsualSpeed()
    usual.remember(1000, 1000)
    assert [seen(usual, *(1000, 1000) if quiet else (1400, 1200)) for quiet in (1, 0, 0, 1, 0, 1, 1, 0)] == [
        False, True, True, False, True, False, False, True,
    ]  # fmt: skip


def test_a_change_within_the_very_first_round_is_seen():
    assert seen(UsualSpeed(), 1000, 1200)
    assert seen(UsualSpeed(), 1200, 1000)


def test_of_the_stream_the_faster_pass_counts():
    assert ReferenceStream(Clock([900, 800])).time_ns() == 800


def test_the_stream_reads_memory_that_is_really_there():
    """A block that was never written would be one page of zeros, which any cache holds."""
    block = ReferenceStream()._block
    assert block.nbytes == workload.STREAM_BYTES
    assert block.min() == block.max() == 1.0
