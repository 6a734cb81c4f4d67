"""`python -m mnbench`, which must not take a json.py that lies in the current folder for Python's own."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109 - pathlib is not loaded yet
    del sys.path[0]  # -m put it there

from mnbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
