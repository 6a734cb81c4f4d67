"""Waiting for another process, a home that cannot be written, and disks that are full."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from mnbench import store
from mnbench.export import cache as exports
from mnbench.export import ensure_all
from mnbench.records import Format
from mnbench.report.progress import listener
from tests.builders import a_spec
from tests.integration.command import environment, mnbench
from tests.situations import situation

PROBE = a_spec(
    "matmul_64",
)
QUICK = ("compare", "--backends", "null", "--launches", "3", "--budget", "20")


@situation(
    "processes",
    "Another mnbench is exporting the same network",
    "says that it waits for it, also without a terminal, then uses what was made",
)
def test_waiting_for_another_export_is_told(tmp_path, capsys):
    lock = FileLock(tmp_path / f"{exports.digest_of(PROBE, Format.PROBE)}.lock")
    lock.acquire()
    with listener(quiet=False) as view:

        def told(model: str) -> None:
            view.waiting(model)
            lock.release()

        made = ensure_all([(PROBE, Format.PROBE)], tmp_path, waits=told)
    assert list(made) == [(PROBE, Format.PROBE)]
    assert capsys.readouterr().err == "mnbench: waiting for another mnbench that exports matmul_64\n"


def test_a_wait_is_told_once_a_network_and_not_at_all_with_quiet(capsys):
    with listener(quiet=False) as view:
        view.waiting("a")
        view.waiting("a")
    with listener(quiet=True) as view:
        view.waiting("b")
    assert capsys.readouterr().err.count("\n") == 1


@situation("files", "The home folder cannot be written", "makes every plot without a word of the plotting library")
def test_a_home_that_cannot_be_written_is_no_news(tmp_path):
    done = mnbench(*QUICK, "--out", tmp_path, "--quiet", HOME="/proc", XDG_CONFIG_HOME="/proc", XDG_CACHE_HOME="/proc")
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = tmp_path.iterdir()
    assert (run / "summary.csv").exists()


def on_small_disk(tmp_path, size, *command):
    """Run a shell command with a file system of `size` at `tmp_path`, seen by it alone; skip where that is not allowed."""
    unshare = shutil.which("unshare")
    mount = f'mount -t tmpfs -o size={size} none "$0"'
    if (
        unshare is None
        or subprocess.run([unshare, "-m", "sh", "-c", mount, tmp_path], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount: unshare -m")
    script = f'{mount} && "$@"; code=$?; ls -A "$0" >&2; exit $code'
    return subprocess.run(
        [unshare, "-m", "sh", "-c", script, str(tmp_path), sys.executable, "-m", "mnbench", *command],
        capture_output=True, text=True, env=environment(), check=False, timeout=100,
    )  # fmt: skip


@situation("files", "The disk of `--out` is nearly full", "refuses before anything is measured and makes no run")
def test_a_disk_without_room_is_refused(tmp_path):
    done = on_small_disk(tmp_path, "8m", *QUICK, "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"mnbench: --out {tmp_path} has 8 MiB of free space; a run needs up to {store.NEEDED_BYTES >> 20} MiB. "
        "Nothing was measured.\n"
    )


@situation("files", "The disk of the cache is full", "says so with one sentence and leaves neither a draft nor an empty run")
def test_a_cache_without_room_is_a_sentence(tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "out"
    cache.mkdir()
    command = ("compare", "--backends", "torch", "--models", "mobilenet_v1_0.25_128", "--cache", str(cache), "--out", str(out))
    done = on_small_disk(cache, "64k", *command)
    assert (done.returncode, done.stdout) == (1, "")
    sentence, *left = done.stderr.splitlines()
    assert f"could not be written to the cache {cache}: No space left on device." in sentence
    assert [name for name in left if not name.endswith(".lock")] == []
    assert not list(out.iterdir())
