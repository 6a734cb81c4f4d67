"""Defaults from mnbench.toml or pyproject.toml: below the environment, which is below the command line."""

from __future__ import annotations

import pytest

from mnbench.cli import config
from mnbench.cli.arguments import parser
from mnbench.cli.main import COMMANDS
from mnbench.errors import UsageError


@pytest.fixture
def parsed(tmp_path, monkeypatch):
    """Return the options of a command line in a folder with such a file."""
    monkeypatch.delenv("MNBENCH_CACHE", raising=False)
    (tmp_path / "below").mkdir()

    def parse(text, *arguments, name="mnbench.toml"):
        (tmp_path / name).write_text(text)
        monkeypatch.chdir(tmp_path / "below")  # the file lies in a folder above
        known = parser(COMMANDS)
        return known.parse_args(config.with_defaults(list(arguments), known))

    return parse


def test_the_file_sets_defaults_and_the_command_line_wins(parsed):
    text = 'budget = 30\nbackends = ["ort"]\nquiet_only = true\n[compare]\nthreads = [1, 2]\n'
    assert parsed(text, "compare").budget == 30
    options = parsed(text, "compare", "--budget", "7", "--threads", "1")
    assert (options.budget, options.backends, options.threads, options.quiet_only) == (7, ["ort"], [1], True)


def test_options_of_one_command_are_not_those_of_another(parsed):
    options = parsed("budget = 30\n[compare]\nseed = 3\n", "study", "memory")
    assert (options.budget, options.seed) == (30, 0)


def test_pyproject_holds_them_below_tool(parsed):
    assert parsed("[tool.mnbench]\nbudget = 12\n", "compare", name="pyproject.toml").budget == 12
    assert parsed("[tool.other]\nbudget = 12\n", "compare", name="pyproject.toml").budget == 90


def test_the_environment_wins_over_the_file(parsed, monkeypatch):
    monkeypatch.setenv("MNBENCH_CACHE", "/elsewhere")
    assert str(parsed('cache = "here"\n', "compare").cache) == "/elsewhere"
    monkeypatch.delenv("MNBENCH_CACHE")
    assert str(parsed('cache = "here"\n', "compare").cache) == "here"


def test_a_resumed_run_keeps_its_own_plan(parsed):
    assert parsed("budget = 30\n", "compare", "--resume", "x").budget == 90


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bugdet = 3", "sets 'bugdet', which is no option; did you mean 'budget'"),
        ("[compare]\nthread = 2", "did you mean 'threads'"),
        ('budget = "soon"', "sets 'budget' to 'soon'"),
        ("budget = [1, 2]", "to a list; it takes one value"),
        ("quiet-only = 1", "it is true or false"),
        ("backends = []", "give numbers or texts"),
        ("budget = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(parsed, text, told):
    with pytest.raises(UsageError, match=told) as refused:
        parsed(text, "compare")
    assert "mnbench.toml" in str(refused.value)
