"""The table of layers in the design page is that of import-linter's configuration."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_layers_is_the_one_that_is_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    checked = [sorted(re.split(r"\s*[|:]\s*", layer)) for layer in layers]
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| ([^|]+) \|", page, flags=re.MULTILINE)
    assert [sorted(re.findall(r"`(\w+)`", row)) for row in rows] == checked


def test_the_top_level_holds_the_entry_points_alone():
    loose = {path.stem for path in (ROOT / "mnbench").glob("*.py")}
    assert loose == {"__init__", "__main__", "errors", "pytest_plugin"}
