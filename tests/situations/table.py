"""Make the table of situations in docs/situations.md from the marks in the tests' source; nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "situations.md"
KINDS = ("processes", "files", "the host", "CPUs", "memory", "terminals and tables")
"""The headings of the page, in its order."""

HEAD = """# Situations: what mnbench does on an unlucky machine

Each line is a test that causes the situation and checks what follows. The table is generated from the tests:
`python -m tests.situations` writes this page.
"""


class Situation(NamedTuple):
    """One line of the page and the test that proves it."""

    kind: str
    what: str
    does: str
    test: str
    """Where the test is: `tests/…/test_x.py::test_name`."""


def marked(folder: Path = TESTS) -> list[Situation]:
    """Return every marked situation under `folder`, in the order of files and lines.

    Raises ValueError for a kind that is not one of `KINDS`, and for a mark that is no three literal strings.
    """
    return [found for path in sorted(folder.rglob("test_*.py")) for found in _marks(path)]


def _marks(path: Path) -> Iterator[Situation]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "situation":
                kind, what, does = (str(ast.literal_eval(argument)) for argument in mark.args)
                if kind not in KINDS:
                    raise ValueError(f"{path.name}: {node.name}: unknown kind {kind!r}; known: {', '.join(KINDS)}")
                yield Situation(kind, what, does, f"{path.relative_to(TESTS.parent)}::{node.name}")


def page(situations: list[Situation]) -> str:
    """Return the Markdown page: a part for each kind, a line for each situation."""
    parts = [HEAD]
    for kind in KINDS:
        lines = [f"| {each.what} | {each.does} |" for each in situations if each.kind == kind]
        if lines:
            head = (f"## {kind[0].upper()}{kind[1:]}\n", "| situation | what mnbench does |", "|---|---|")
            parts.append("\n".join((*head, *lines, "")))
    return "\n".join(parts)
