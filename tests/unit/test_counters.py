import mmap
import os
import resource
from types import SimpleNamespace

from mnbench.measure.counters import CounterReader


def fake_proc(root, *, stat="", waits=(0,), pressure="", throttle=None):
    for task, wait in enumerate(waits):
        (root / f"proc/self/task/{task}").mkdir(parents=True, exist_ok=True)
        (root / f"proc/self/task/{task}/schedstat").write_text(f"111 {wait} 5\n")
    (root / "proc/stat").write_text(stat)
    (root / "proc/pressure").mkdir(exist_ok=True)
    (root / "proc/pressure/cpu").write_text(pressure)
    if throttle is not None:
        (root / "proc/self/cgroup").write_text("0::/job\n")
        (root / "sys/fs/cgroup/job").mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup/job/cpu.stat").write_text(throttle)


def test_counters_of_the_measured_cpus_alone_are_summed(tmp_path):
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    fake_proc(
        tmp_path,
        stat="cpu  99 99 99 99 99 99 99 99\ncpu0 1 2 3 400 5 6 7 8 0 0\ncpu1 10 20 30 4000 50 60 70 80 0 0\n",
        waits=(100, 20),
        pressure="some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=5\n",
        throttle="usage_usec 1\nthrottled_usec 7\n",
    )
    seen = CounterReader((1,), tmp_path).read()
    assert seen.busy_ns == (10 + 20 + 30 + 60 + 70) * tick
    assert seen.steal_ns == 80 * tick
    assert seen.run_queue_wait_ns == 120
    assert seen.pressure_us == 1234
    assert seen.throttled_ns == 7000


def test_what_the_kernel_does_not_tell_is_none(tmp_path):
    fake_proc(tmp_path)
    seen = CounterReader((0,), tmp_path).read()
    assert (seen.pressure_us, seen.throttled_ns) == (None, None)


def test_a_difference_is_what_happened_in_between():
    reader = CounterReader(sorted(os.sched_getaffinity(0)))
    before = reader.read()
    sum(range(200_000))
    seen = reader.read().since(before)
    assert 0 < seen.cpu_ns <= seen.wall_ns * (os.cpu_count() or 1)
    assert seen.run_queue_wait_ns >= 0


def test_threads_that_ran_for_long_are_counted(tmp_path):
    fake_proc(tmp_path, waits=(0, 0))
    reader = CounterReader((0,), tmp_path)
    before = reader.read()
    for task, ran_ns in ((0, 10**12), (1, 111)):
        (tmp_path / f"proc/self/task/{task}/schedstat").write_text(f"{ran_ns} 0 5\n")
    assert reader.read().since(before).busy_threads() == 1


def test_page_faults_are_counted_and_unknown_where_the_kernel_counts_none(monkeypatch):
    reader = CounterReader((0,))
    before = reader.read()
    with mmap.mmap(-1, 1 << 24) as fresh:
        fresh[0] = 1
    assert reader.read().since(before).page_faults > 0
    none = SimpleNamespace(ru_minflt=0, ru_nvcsw=0, ru_nivcsw=0)
    monkeypatch.setattr(resource, "getrusage", lambda _: none)
    assert reader.read().page_faults is None
