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
