"""Signals that end a run: they are taken as Ctrl-C, and one of them is enough."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 3.0
"""Ending the children and storing a run takes less."""


class _Handler:
    """A signal handler that raises KeyboardInterrupt, and drops what follows within GRACE_S: the run is being stored then."""

    def __init__(self) -> None:
        self._until_s = 0.0

    def __call__(self, number: int, _frame: object) -> None:
        if time.monotonic() >= self._until_s:
            self._until_s = time.monotonic() + GRACE_S
            raise KeyboardInterrupt(number)


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does, each unless it is ignored (nohup): children end, the run is stored.

    A second signal does not stop that. Within another such block, or in another thread, this one changes nothing.
    """
    if isinstance(signal.getsignal(signal.SIGTERM), _Handler) or threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return
    handler = _Handler()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    heeded = [number for number in numbers if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
