from dataclasses import replace

import pytest

from mnbench.measure.disturbance import disturbances
from mnbench.measure.messages import RoundReply
from mnbench.measure.workload import UsualSpeed

MS = 1_000_000
USUAL_NS = 65_000


def a_reply(**changes):
    fields = dict.fromkeys(RoundReply.__slots__, 0)
    fields |= {"settle_ns": (), "latencies_ns": (1,), "wall_ns": 250 * MS, "busy_threads": 1, "busiest_ns": 250 * MS}
    fields |= {"workload_before_ns": USUAL_NS, "workload_after_ns": USUAL_NS}
    return RoundReply(**{**fields, "pressure_us": None, "throttled_ns": None, **changes})


def judged(reply, other_cpus=1):
    usual = UsualSpeed()
    for _ in range(4):  # quiet rounds came before
        usual.remember(USUAL_NS, USUAL_NS)
    usual.remember(reply.workload_before_ns, reply.workload_after_ns)
    return disturbances(reply, threads=1, other_cpus=other_cpus, usual=usual)


def test_a_quiet_round_is_not_disturbed():
    assert judged(a_reply(cpu_ns=250 * MS)) == ()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"run_queue_wait_ns": 13 * MS}, "waited for the CPU"),
        ({"steal_ns": 30 * MS}, "steal"),
        ({"throttled_ns": 1}, "throttled"),
        ({"foreign_cpu_ns": 30 * MS}, "foreign load"),
        ({"other_cpus_ns": 70 * MS}, "load on other CPUs"),
        ({"idle_cpu_ns": 60 * MS}, "ran while it waited"),
        ({"busy_threads": 2}, "more threads than requested"),
        ({"busiest_ns": 236 * MS}, "did not run"),
        ({"workload_before_ns": 1.04 * USUAL_NS}, "changed CPU speed"),
        ({"workload_after_ns": 1.4 * USUAL_NS}, "changed CPU speed"),
        ({"workload_before_ns": 0.96 * USUAL_NS, "workload_after_ns": 0.96 * USUAL_NS}, "changed CPU speed"),
    ],
)
def test_each_disturbance_is_named(changes, name):
    assert judged(a_reply(**changes)) == (name,)


def test_a_little_of_each_is_no_disturbance():
    little = a_reply(run_queue_wait_ns=12 * MS, steal_ns=20 * MS, foreign_cpu_ns=20 * MS, other_cpus_ns=60 * MS, idle_cpu_ns=MS)
    little = replace(little, workload_before_ns=1.02 * USUAL_NS, workload_after_ns=0.98 * USUAL_NS)
    assert judged(little) == ()


def test_one_busy_cpu_of_many_others_is_no_disturbance():
    assert judged(a_reply(other_cpus_ns=250 * MS), other_cpus=8) == ()


def test_time_that_is_accounted_for_elsewhere_is_no_stop():
    """It waited for the CPU, or had it stolen, for the rest; or it is known of the whole process only."""
    assert judged(a_reply(busiest_ns=239 * MS)) == ()
    assert judged(a_reply(busiest_ns=225 * MS, run_queue_wait_ns=12 * MS, steal_ns=5 * MS)) == ()
    assert judged(a_reply(busiest_ns=None, cpu_ns=240 * MS)) == ()
    assert judged(a_reply(busiest_ns=None, cpu_ns=200 * MS)) == ("did not run",)
