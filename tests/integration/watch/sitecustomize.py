"""Loaded by every Python process of a test that puts this folder on PYTHONPATH.

It watches sockets, stops an export, or lets memory seem short.
"""

import os
import signal
import sys
from pathlib import Path

if "MNBENCH_TEST_SOCKETS" in os.environ:

    def _note(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto", "socket.gethostbyname"):
            with Path(os.environ["MNBENCH_TEST_SOCKETS"]).open("a") as file:
                file.write(f"{event} {arguments} in {sys.orig_argv}\n")

    sys.addaudithook(_note)

if "MNBENCH_TEST_STARTED" in os.environ:
    with Path(os.environ["MNBENCH_TEST_STARTED"]).open("a") as file:
        file.write(f"{' '.join(sys.orig_argv)}\n")

if "MNBENCH_TEST_MEMORY" in os.environ:
    from mnbench import environment

    environment.available_memory_bytes = lambda: int(os.environ["MNBENCH_TEST_MEMORY"])

if "MNBENCH_TEST_QUIET" in os.environ:  # whatever else runs here: the test is of something that no neighbour decides
    from mnbench.measure import disturbance

    disturbance.disturbances = lambda *_: ()

if "MNBENCH_TEST_STOP_EXPORT" in os.environ and any("mnbench.export.child" in part for part in sys.orig_argv):

    def _stop_at_torch(event: str, arguments: tuple[object, ...]) -> None:
        """In the midst of an export: tell the parent, then go on with nothing until somebody ends this process."""
        if event == "import" and arguments[0] == "torch":
            Path(os.environ["MNBENCH_TEST_PIDS"]).write_text(f"{os.getpid()}\n")
            os.kill(os.getppid(), int(os.environ["MNBENCH_TEST_STOP_EXPORT"]))
            while True:
                signal.pause()

    sys.addaudithook(_stop_at_torch)
