"""Unlucky machines: each test causes one situation and checks what mnbench does there.

`@situation(kind, what, does)` marks such a test, wherever it lies under tests/. The table in docs/situations.md is
made from these marks: `python -m tests.situations` writes it, and tests/situations/test_table.py compares it.
"""

from __future__ import annotations

import pytest


def situation(kind: str, what: str, does: str) -> pytest.MarkDecorator:
    """Return the mark of a test that causes `what`, in which mnbench `does` this; all three are literal sentences.

    `kind` is the heading of the table's part (one of `table.KINDS`); `what` and `does` are its two cells, in Markdown.
    """
    return pytest.mark.situation(kind, what, does)
