"""What mnbench inherits from whoever starts it, and what its children do: descriptors, limits, variables, signals."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mnbench import store
from mnbench.__main__ import shadowing
from mnbench.system.processes import LOUD
from tests.integration.command import QUICK, SMALLEST, environment, mnbench
from tests.situations import situation
from tests.situations.causes import preloaded

NULL = ("compare", "--backends", "null", "--launches", "3", "--budget", "20", "--quiet")


def shell(script: str, cwd: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `$MNBENCH` is the command line."""
    command = f"{sys.executable} -m mnbench"
    return subprocess.run(
        ["/bin/bash", "-c", script.replace("$MNBENCH", command)],
        capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env=environment(**variables),
    )  # fmt: skip


def only_run(folder: Path):
    (directory,) = (path for path in folder.iterdir() if path.is_dir())
    return store.load(directory)


@situation(
    "processes",
    "Standard input, output or error is closed (`<&-`, `>&-`, `2>&-`; daemons, cron)",
    "measures as usual; what would be printed there goes nowhere",
)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_pipes_to_workers(tmp_path, closed):
    done = shell(f"$MNBENCH {' '.join(NULL)} --out runs {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "runs")
    assert run.finished
    assert not run.failures
    assert all(samples.rounds for samples in run.samples)


@situation("processes", "It runs without a terminal and session (`nohup setsid`)", "measures as usual")
def test_nohup_setsid_measures(tmp_path):
    done = shell(f"nohup setsid -w $MNBENCH {' '.join(NULL)} --out runs <&- >out 2>&1", tmp_path)
    assert done.returncode == 0, (tmp_path / "out").read_text()
    assert not only_run(tmp_path / "runs").failures


@situation(
    "processes",
    "Few files may be open (`ulimit -n`)",
    "measures with fewer processes alive at once; where one cannot be started, names the limit and `ulimit -n`",
)
def test_few_open_files_split_the_wave_or_are_named(tmp_path):
    done = shell(f"ulimit -n 20; $MNBENCH {' '.join(NULL)} --out runs", tmp_path)
    assert done.returncode == 0, done.stderr
    for number in (6, 7):
        done = shell(f"ulimit -n {number}; $MNBENCH {' '.join(NULL)} --out few", tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert f"this process may open {number} files; raise that with `ulimit -n`" in done.stderr


REFUSING = """
#include <errno.h>
#include <pthread.h>
#include <sys/types.h>
pid_t fork(void) { errno = EAGAIN; return -1; }
pid_t vfork(void) { errno = EAGAIN; return -1; }
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x) { return EAGAIN; }
"""
"""What a process meets that is at its user's limit. (The kernel does not hold root to it.)"""


@situation(
    "processes",
    "No further process or thread may be started (`ulimit -u`)",
    "says so in a sentence with `ulimit -u`; numpy's thread pool does not end it",
)
def test_few_processes_are_named(tmp_path):
    library = preloaded(tmp_path, REFUSING)
    done = mnbench(*NULL, "--out", tmp_path / "runs", LD_PRELOAD=library)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failures = [failure for found in (tmp_path / "runs").glob("*") for failure in store.load(found).failures]
    assert "raise that with `ulimit -u`" in done.stderr + "".join(failure.reason for failure in failures)


@situation(
    "processes",
    "`ONEDNN_VERBOSE=1`, `PYTHONWARNINGS=error`, `PYTHONDEVMODE=1` and their kind are set",
    "passes none of them on to its children, and measures as usual",
)
def test_loud_variables_reach_no_child_and_stop_nothing(tmp_path):
    seen = tmp_path / "seen"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'mnbench.measure.worker' in sys.orig_argv:\n"
        f"    open({str(seen)!r}, 'a').write(' '.join(sorted(os.environ)) + '\\n')\n"
    )
    loud = dict.fromkeys(LOUD, "1") | {"PYTHONWARNINGS": "error", "PYTHONINSPECT": "", "LD_DEBUG": "", "PYTHONVERBOSE": ""}
    loud |= {"PYTHONMALLOC": "debug"}
    done = mnbench(*NULL, "--out", tmp_path / "runs", folders=(tmp_path,), **loud)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    lines = seen.read_text().splitlines()
    assert lines
    assert not {name for line in lines for name in line.split()} & set(LOUD)


@situation(
    "processes",
    "`PYTHONOPTIMIZE=2`, `PYTHONSAFEPATH=1`, `PYTHONHASHSEED=0`, `PYTHONUNBUFFERED=1` or `LD_BIND_NOW=1` is set",
    "exports and measures as usual; checks do not rest on assertions, nor texts on docstrings",
)
def test_variables_that_change_how_python_runs_change_nothing(tmp_path):
    variables = {
        "PYTHONSAFEPATH": 1,
        "PYTHONHASHSEED": 0,
        "PYTHONUNBUFFERED": 1,
        "PYTHONDONTWRITEBYTECODE": 1,
        "LD_BIND_NOW": 1,
    }
    plain, said = mnbench("--help"), mnbench("--help", PYTHONOPTIMIZE=2, **variables)
    assert (said.returncode, said.stdout) == (plain.returncode, plain.stdout)
    request = (
        "compare",
        "--models",
        SMALLEST,
        "--backends",
        "ort",
        "openvino",
        *QUICK,
        "--quiet",
        "--cache",
        tmp_path / "cache",
    )
    done = mnbench(*request, "--out", tmp_path / "runs", PYTHONOPTIMIZE=2, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    run = only_run(tmp_path / "runs")
    assert not run.failures
    assert all(samples.max_rel_error is not None for samples in run.samples if samples.case.backend != "null")


@situation(
    "processes",
    "A file on PYTHONPATH has the name of a module that Python needs (`random.py`)",
    "names the file and the module in one sentence, exit code 2",
)
@pytest.mark.parametrize("name", ["random.py", "torch.py", "statistics"])
def test_a_file_that_stands_in_for_a_module_is_named(tmp_path, name):
    path = tmp_path / name
    if path.suffix:
        path.write_text("raise RuntimeError('not the real one')\n")
    else:
        path.mkdir()
        (path / "__init__.py").write_text("")
    done = mnbench("list", "models", folders=(tmp_path,))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mnbench: {path} stands in for the module {name.removesuffix('.py')}, which mnbench needs")
    assert done.stderr.count("\n") == 1


def test_packages_on_pythonpath_stand_in_for_nothing(tmp_path):
    for name in ("openvino", "numpy", "my_models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "my_model.py").write_text("")
    assert shadowing([str(tmp_path), "", str(tmp_path / "missing")]) == []
    (tmp_path / "json.py").write_text("")
    assert shadowing([str(tmp_path)]) == [(str(tmp_path / "json.py"), "json")]
    (tmp_path / "real-1.0.dist-info").mkdir()
    assert shadowing([str(tmp_path)]) == []


def test_this_process_may_open_as_many_files_as_it_is_allowed_to():
    code = (
        "from mnbench.system import processes; import resource as r; processes.raise_file_limit(); "
        "print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 256:
        pytest.skip("this test may open few files itself")
    done = subprocess.run(["/bin/bash", "-c", f"ulimit -S -n 64; ulimit -H -n 256; {sys.executable} -c '{code}'"],
                          capture_output=True, text=True, check=True, env=environment())  # fmt: skip
    assert done.stdout == "(256, 256)\n"
