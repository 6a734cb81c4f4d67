"""`python -m mnbench`."""

import sys

from mnbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
