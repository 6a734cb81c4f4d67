"""Write docs/situations.md anew: `python -m tests.situations`."""

from tests.situations.table import PAGE, marked, page

PAGE.write_text(page(marked()))
