"""What `mnbench doctor` says on made-up hosts, compared with hosts/*.txt, which a person can read and agree with.

`MNBENCH_WRITE_GOLDEN=1 pytest` on this file writes them again.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from mnbench import environment
from mnbench.report import host as view
from tests.situations import situation
from tests.situations.made_up_hosts import HOSTS, stat, write

GOLDEN = Path(__file__).parent / "hosts"


def doctor(name, root, monkeypatch):
    """Return what doctor prints on a host of which nothing but this process runs."""
    made_up = HOSTS[name]
    made_up.build(root, monkeypatch)

    def pause():
        if (root / "proc/stat").exists():
            write(root, "proc/stat", stat(range(made_up.cpus), busy=10_000, idle=990_050))

    seen = environment.capture(packages=(), root=root, pause=pause)
    printed = io.StringIO()
    view.render(seen, environment.findings(seen), Console(file=printed, width=120))
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


@situation(
    "the host",
    "An ARM board with clusters, a hybrid laptop, a server with a quota, a container, a /proc with processes alone",
    "`doctor` names kinds, siblings and limits as the kernel lists them, calls what is unknown unknown, and warns of it",
)
@pytest.mark.parametrize("name", HOSTS)
def test_doctor_says_what_a_person_would_say_of_a_host(name, tmp_path, monkeypatch):
    said = doctor(name, tmp_path, monkeypatch)
    if os.environ.get("MNBENCH_WRITE_GOLDEN"):
        (GOLDEN / f"{name}.txt").write_text(said)
    assert said == (GOLDEN / f"{name}.txt").read_text()
