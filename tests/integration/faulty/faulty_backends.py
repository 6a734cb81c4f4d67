"""Backends that go wrong on purpose, found by entry points as any other package's would be.

Each goes wrong in its tenth inference at the latest, so the parent meets a real dead, hung or lying process.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import signal
import threading
import time
from pathlib import Path

from mnbench.backends.null import NullBackend, NullSession
from mnbench.errors import WorkerError


class _Session(NullSession):
    runs = 0
    changed: dict[str, str] = {}  # noqa: RUF012 - overridden by the subclasses below

    def run(self) -> None:
        time.sleep(0.001)
        self.runs += 1
        if self.runs == 10:
            self.misbehave()

    def misbehave(self) -> None:
        pass

    def effective(self):
        return {**super().effective(), **self.changed}


class _Faulty(NullBackend):
    packages = ("mnbench-faulty",)
    session: type[_Session] = _Session

    def open(self, artifact, root, feed, *, threads, precision):
        return self.session(threads=threads, precision=precision)


def _backend(label: str, *, changed: dict[str, str] | None = None, opened=None, misbehave=None) -> type[_Faulty]:
    body = {"changed": changed or {}, "misbehave": lambda self: misbehave() if misbehave else None}
    session = type(f"{label}Session", (_Session,), body)

    def open_session(self, artifact, root, feed, *, threads, precision):
        if opened:
            opened()
        return session(threads=threads, precision=precision)

    return type(label, (_Faulty,), {"name": label.lower(), "session": session, "open": open_session})


def _crash() -> None:
    print("about to divide by nought", flush=True)
    os._exit(3)


def _raise() -> None:
    raise ValueError("the kernel is not implemented")


def _mute() -> None:
    raise WorkerError("this runtime refuses")


def _spin() -> None:
    for _ in range(2):
        threading.Thread(target=_burn, daemon=True).start()


def _burn() -> None:
    data = bytes(1 << 20)
    while True:
        hashlib.sha256(data)  # releases the interpreter lock, so that two threads burn two CPUs


def _signal_parent() -> None:
    """Send the parent $MNBENCH_TEST_SIGNAL from the second launch on, so that the first one's rounds are stored by then."""
    seen = Path(os.environ["MNBENCH_TEST_PIDS"])
    launches = seen.read_text().splitlines() if seen.exists() else []
    with seen.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if launches and "MNBENCH_TEST_SIGNAL" in os.environ:
        os.kill(os.getppid(), int(os.environ["MNBENCH_TEST_SIGNAL"]))
        time.sleep(600)


SlowOpen = _backend("SlowOpen", opened=lambda: time.sleep(1.5))
Signalling = _backend("Signalling", misbehave=_signal_parent)
Crashing = _backend("Crashing", misbehave=_crash)
Hanging = _backend("Hanging", misbehave=lambda: time.sleep(600))
Killed = _backend("Killed", misbehave=lambda: os.kill(os.getpid(), signal.SIGKILL))
Raising = _backend("Raising", misbehave=_raise)
Mute = _backend("Mute", opened=_mute)
MoreThreads = _backend("MoreThreads", changed={"threads": "2"})
Bf16Inside = _backend("Bf16Inside", changed={"precision": "bf16"})
Wandering = _backend("Wandering", misbehave=lambda: os.sched_setaffinity(0, {0}))
Spinning = _backend("Spinning", misbehave=_spin)


class _TrimmingSession(_Session):
    """Gets 2 MiB from the kernel and gives it back in each inference, as an allocator does that keeps nothing."""

    def run(self) -> None:
        with mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            for offset in range(0, len(memory), mmap.PAGESIZE):
                memory[offset] = 1


class _AbortingSession(_Session):
    """Ends its process as a C++ runtime does that meets an exception nobody catches."""

    def misbehave(self) -> None:
        print("terminate called after throwing an instance of 'std::out_of_range'", flush=True)
        os.abort()


class Aborting(_Faulty):
    name = "aborting"
    session = _AbortingSession


class _SlowSession(_Session):
    """Computes for half a second an inference."""

    def run(self) -> None:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass


class Slow(_Faulty):
    name = "slow"
    session = _SlowSession


class _ShoutingSession(_Session):
    """Writes a mebibyte to standard output in each inference; $MNBENCH_TEST_SHOUT: as Python does, where an error counts."""

    def run(self) -> None:
        with contextlib.nullcontext() if "MNBENCH_TEST_SHOUT" in os.environ else contextlib.suppress(OSError):
            os.write(1, b"all is well\n" * ((1 << 20) // 12))


class Shouting(_Faulty):
    name = "shouting"
    session = _ShoutingSession


class Trimming(_Faulty):
    name = "trimming"
    session = _TrimmingSession


class Telling(_Faulty):
    """Goes wrong in nothing, and says which process it runs in."""

    name = "telling"

    def open(self, artifact, root, feed, *, threads, precision):
        session = _Session(threads=threads, precision=precision)
        session.changed = {"pid": str(os.getpid())}
        return session


class Uninstalled(_Faulty):
    name = "uninstalled"

    def missing(self) -> str | None:
        return "backend 'uninstalled' needs the package nowhere: pip install nowhere."
