"""Starting this mnbench's code in any interpreter: the runtime is that environment's own, the harness is always this one.

The package is registered by the location of its files. The folder that holds it, often a site-packages, stays off the import
path; there, its numpy or its runtime could stand in for those of the environment to be measured.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mnbench.system.processes import quiet

PACKAGE = Path(__file__).parents[1]
BOOTSTRAP = """\
import sys
from importlib.util import module_from_spec, spec_from_file_location
root, module = sys.argv[1:3]
sys.argv[1:3] = []
spec = spec_from_file_location("mnbench", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["mnbench"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from importlib import import_module
sys.exit(import_module(module).main())
"""
OF_ANOTHER_INTERPRETER = ("PYTHONPATH", "PYTHONHOME")
"""Variables that tell this interpreter where its modules are: another one must not find them there."""


def command(module: str, *arguments: object, python: str = "") -> list[str]:
    """Return the command that runs `main` of a module of this package with `python`; empty for this interpreter."""
    return [python or sys.executable, "-P", "-c", BOOTSTRAP, str(PACKAGE), module, *map(str, arguments)]


def inherited(python: str = "") -> dict[str, str]:
    """Return this process's variables as a quiet process of `python` may have them; empty for this interpreter."""
    kept = quiet(os.environ)
    return {name: value for name, value in kept.items() if not python or name not in OF_ANOTHER_INTERPRETER}
