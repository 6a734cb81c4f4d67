"""Packages that call home are kept from it: nothing here opens a connection, and a sender would disturb what is timed.

`refuse` runs when the package `mnbench` is imported, which is before any runtime in every process of it: the command line,
the children that export, the workers (also those of other environments), and pytest.
"""

from __future__ import annotations

import os
import sys

VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
"""onnxruntime from 1.29 on starts a thread and writes a data base and a device id into the user's cache when it is imported;
its `disable_telemetry_events()` comes too late for that."""
MODULES = ("openvino_telemetry",)
"""openvino imports its converter, and that starts a thread and a process that report to a web service, in every worker that
opens a model; NNCF does so too. Where the package cannot be imported, both have a stub of their own that does nothing."""


def refuse() -> None:
    """Let no runtime that this process or its children import from now on start its telemetry."""
    os.environ.update(VARIABLES)
    for name in MODULES:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment] # Python's way to say: not importable
