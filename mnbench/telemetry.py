"""Packages that call home are kept from it: nothing here opens a connection, and a sender would disturb what is timed."""

from __future__ import annotations

import sys


def refuse() -> None:
    """Make `import openvino` go without its telemetry; call it before.

    openvino imports its converter, and that starts a thread and a process of openvino_telemetry which report to a web service,
    in every worker that opens a model. Where that package cannot be imported, openvino has a stub of its own that does nothing.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # Python's way to say: not importable
