"""How situations are caused that no setting of the system brings about."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def preloaded(folder: Path, source: str) -> Path:
    """Return a library made of C `source` for LD_PRELOAD; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / "preloaded.so"
    (folder / "preloaded.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "preloaded.c", "-ldl"], check=True)
    return library


def without_proc() -> list[str]:
    """Return the beginning of a command that runs with an empty /proc; skips the test where no such place can be made."""
    for unshare in (["unshare", "-m"], ["unshare", "-r", "-m"]):
        command = [*unshare, "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("needs the right to mount")
