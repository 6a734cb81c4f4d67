"""A test-only session that is slower than the one it wraps by a known share: what `mnbench selftest` must find."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mnbench.backends import Session


class SlowedSession:
    """Runs a session, then stays busy for a share of the time it took: the timed call is slower by exactly that share."""

    def __init__(self, session: Session, pct: float) -> None:
        self._session, self._share = session, pct / 100

    def run(self) -> None:
        now_ns = time.perf_counter_ns
        start_ns = now_ns()
        self._session.run()
        end_ns = now_ns()
        until_ns = end_ns + int(self._share * (end_ns - start_ns))
        while now_ns() < until_ns:
            pass

    def outputs(self) -> Sequence[NDArray[Any]]:
        return self._session.outputs()

    def effective(self) -> Mapping[str, str]:
        return self._session.effective()

    def close(self) -> None:
        self._session.close()
