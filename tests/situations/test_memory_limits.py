"""Memory: what a container may use, and what is said when the kernel kills for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnbench import store
from mnbench.environment import findings, memory
from mnbench.errors import WorkerError
from mnbench.measure import launcher
from mnbench.measure.conduct import memory_caveats
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest, RoundRequest
from mnbench.records import Case
from tests.conftest import a_case, a_plan, an_environment
from tests.integration.command import mnbench
from tests.situations import situation

MIB = 1 << 20


def made_up(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "sys/fs/cgroup/box"
MEMINFO = {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"}


@situation(
    "memory",
    "A container may use less memory than the machine has (cgroup v1 and v2)",
    "knows the limit and what is left below it, shows it in `doctor`, and cuts its waves to it",
)
@pytest.mark.parametrize(
    ("cgroup", "files", "limit_mib", "left_mib"),
    [
        ("0::/box\n", {f"{V2}/memory.max": "2147483648\n", f"{V2}/memory.current": "524288000\n",
                       f"{V2}/memory.stat": "anon 5\ninactive_file 104857600\n"}, 2048, 2048 - 500 + 100),
        ("0::/box\n", {f"{V2}/memory.max": "max\n", f"{V2}/memory.high": "1073741824\n"}, 1024, 1024),
        ("0::/box/in\n", {f"{V2}/in/memory.max": "max\n", f"{V2}/memory.max": "536870912\n",
                          f"{V2}/memory.current": "1048576\n"}, 512, 511),
        ("4:memory:/box\n", {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "268435456\n",
                             "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "1048576\n"}, 256, 255),
        ("4:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, None, 4096),
        ("0::/box\n", {f"{V2}/memory.max": "garbage", f"{V2}/memory.current": ""}, None, 4096),
        ("no colons\n", {}, None, 4096),
    ],
)  # fmt: skip
def test_the_limit_of_a_cgroup_is_known(tmp_path, cgroup, files, limit_mib, left_mib):
    root = made_up(tmp_path, cgroup, {**MEMINFO, **files})
    limit = memory.limit_bytes(root)
    assert (None if limit is None else limit // MIB) == limit_mib
    assert memory.available_bytes(root) // MIB == left_mib


def test_without_any_file_the_memory_is_unknown(tmp_path):
    root = made_up(tmp_path, "0::/box\n", {})
    assert (memory.limit_bytes(root), memory.available_bytes(root), memory.oom_kills(root)) == (None, None, None)


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({f"{V2}/memory.events": "low 0\noom 3\noom_kill 2\n", "proc/vmstat": "oom_kill 9\n"}, 2),
        ({"proc/vmstat": "nr_free_pages 5\noom_kill 9\n"}, 9),
        ({f"{V2}/memory.events": "oom_kill\n"}, None),
    ],
)
def test_kills_are_counted_in_the_cgroup_or_else_on_the_machine(tmp_path, files, kills):
    assert memory.oom_kills(made_up(tmp_path, "0::/box\n", files)) == kills


@situation(
    "memory",
    "The kernel kills a worker because the container's memory limit is reached",
    "says so, with the limit and what to do",
)
def test_a_worker_that_the_kernel_killed_for_memory_is_told(tmp_path, monkeypatch):
    case = Case(model="none", backend="killed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1] / "integration" / "faulty"), *sys.path]))
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "integration" / "faulty")
    counts = iter([3, 4])
    monkeypatch.setattr(launcher, "oom_kills", lambda: next(counts, 4))
    monkeypatch.setattr(launcher, "memory_limit_bytes", lambda: 2 << 30)
    worker = Worker(case, tmp_path / "log")
    try:
        with pytest.raises(WorkerError, match=r"killed by the kernel: the cgroup's memory limit of 2.0 GiB was reached"):
            worker.open(OpenRequest(case=case, artifact=None, cache="", cpus=(min(os.sched_getaffinity(0)),)), timeout_s=30)
            worker.round(RoundRequest(settle_ms=1.0, target_ms=20.0), timeout_s=30)
    finally:
        worker.close()


CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(
    not os.access(CGROUP / "cgroup.procs", os.W_OK), reason="needs a cgroup v1 of memory that may be written to"
)
def test_a_real_limit_is_seen_from_within(tmp_path):
    own = CGROUP / f"mnbench-test-{os.getpid()}"
    try:
        own.mkdir()
        (own / "memory.limit_in_bytes").write_text(f"{256 * MIB}")
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    code = (
        f"import os; open('{own}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "from mnbench import environment as e\n"
        "print(e.memory_limit_bytes(), e.available_memory_bytes() < 256 << 20, e.oom_kills())"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(256 * MIB), "True", "0"]
    finally:
        own.rmdir()


@situation(
    "memory",
    "There is hardly memory for one worker",
    "`doctor` warns; a run measures one case at a time, with a caveat that has both numbers",
)
def test_too_little_memory_for_one_worker_is_said_with_numbers(tmp_path):
    watched = {"folders": (Path(__file__).parents[1] / "integration" / "watch",)}
    request = ("compare", "--backends", "null", "--launches", "3", "--quiet", "--out", tmp_path / "runs")
    done = mnbench(*request, **watched, MNBENCH_TEST_MEMORY=300 * MIB)
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    (found,) = [caveat for caveat in store.load(directory).caveats if caveat.code == "memory-short"]
    assert found.observed == "300 MiB were available at the start; a single worker may need 420 MiB"
    assert [finding.code for finding in findings(an_environment(memory_available_bytes=300 * MIB))] == ["memory"]


def test_unknown_or_enough_memory_makes_no_such_caveat():
    plan = a_plan(a_case(batch=8))
    assert memory_caveats(plan, None) == memory_caveats(plan, 600 * MIB) == ()
    assert len(memory_caveats(plan, 500 * MIB)) == 1
