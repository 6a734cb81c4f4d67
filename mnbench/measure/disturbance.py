"""Which rounds are not to be used, and why: judged from what the kernel counted meanwhile, and from the reference workload."""

from __future__ import annotations

from mnbench.measure.messages import RoundReply
from mnbench.measure.workload import UsualSpeed
from mnbench.stats.condition import LEAST_LOAD_NS, LOADED, LOADED_SHARE

DISTURBED_SHARE = 0.05
STOPPED = "did not run"


def disturbances(reply: RoundReply, threads: int, other_cpus: int, usual: UsualSpeed) -> tuple[str, ...]:
    """Name what spoiled a round; empty for a good one. `usual` remembers the round's own readings already.

    The limits are 5 % of the round's duration, and at least 1 ms: what is lost in a few inferences does not reach the lower
    quartile of a launch. Steal and foreign time are counted in ticks of 10 ms on most kernels, so they must exceed two ticks
    as well. What is unknown of a round disturbs it not: a caveat of the run says that it is unknown.
    """
    limit_ns = max(DISTURBED_SHARE * reply.wall_ns, 1_000_000)
    tick_limit_ns = max(limit_ns, LEAST_LOAD_NS)
    found = {
        "waited for the CPU": _above(reply.run_queue_wait_ns, limit_ns),
        "steal": _above(reply.steal_ns, tick_limit_ns),
        "throttled": _above(reply.throttled_ns, 0),
        "foreign load": _above(reply.foreign_cpu_ns, tick_limit_ns),
        LOADED: _above(reply.other_cpus_ns, max(LOADED_SHARE * other_cpus * reply.wall_ns, LEAST_LOAD_NS)),
        "ran while it waited": reply.idle_cpu_ns > 50_000_000,
        STOPPED: _unaccounted_ns(reply) > limit_ns,
        "more threads than requested": _above(reply.busy_threads, threads),
        "changed CPU speed": usual.differs(reply.workload_before_ns, reply.workload_after_ns),
    }
    return tuple(name for name, seen in found.items() if seen)


def _above(counted: int | None, limit: float) -> bool:
    return counted is not None and counted > limit


def _unaccounted_ns(reply: RoundReply) -> int:
    """Return for how long of a round no thread of the worker ran, waited for a CPU, or had its CPU stolen, as far as is known.

    Inferences follow each other without a pause, so some thread always runs, unless the process is stopped (a signal, a
    frozen cgroup, a machine that sleeps), or waits for a disk. Where CPU time is not counted per thread, the process's stands
    for it.
    """
    ran_ns = reply.cpu_ns if reply.busiest_ns is None else reply.busiest_ns
    return reply.wall_ns - ran_ns - (reply.run_queue_wait_ns or 0) - (reply.steal_ns or 0)
