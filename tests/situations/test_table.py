"""The page of situations is what the tests say."""

from __future__ import annotations

from tests.situations.table import PAGE, Situation, marked, page


def test_the_page_of_situations_is_current():
    assert PAGE.read_text() == page(marked()), "docs/situations.md is old: run python -m tests.situations"


def test_a_situation_has_one_line_under_its_kind():
    made = page([Situation("files", "the disk is full", "stops", "a"), Situation("memory", "none left", "waits", "b")])
    assert made.index("## Files") < made.index("| the disk is full | stops |") < made.index("## Memory")
