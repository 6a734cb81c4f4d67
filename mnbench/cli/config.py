"""Defaults from a file: `mnbench.toml`, or `[tool.mnbench]` of `pyproject.toml`, in this folder or the nearest one above it.

    budget = 30                        # options of every command that has them
    backends = ["ort"]

    [compare]                          # of one command
    threads = [1, 2]

The command line wins over the environment (`MNBENCH_CACHE`), and that over the file.
"""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnbench.errors import UsageError

FILES = ("mnbench.toml", "pyproject.toml")
COMMANDS = ("compare", "plan", "measure", "study", "selftest", "report", "list", "diff")
VARIABLES: Mapping[str, str] = {"cache": "MNBENCH_CACHE"}
"""Environment variables that say what an option is, unless the command line does."""
NEVER = ("resume", "help", "json", "list", "allow-different-hosts")
"""Options of one call."""


def with_defaults(arguments: list[str], known: argparse.ArgumentParser) -> list[str]:
    """Return the arguments with the file's defaults before those of the command. Raises UsageError for a wrong file."""
    if not arguments or arguments[0] not in COMMANDS or "-h" in arguments or "--help" in arguments:
        return arguments
    found = _read(Path.cwd())
    if found is None:
        return arguments
    path, table = found
    command = arguments[0]
    parsers = _parsers(known)
    _check(path, table, parsers)
    own = table.get(command, {})
    values = {name.replace("_", "-"): value for name, value in {**table, **own}.items() if name not in parsers}
    resumed = any(argument.split("=")[0] == "--resume" for argument in arguments)
    options = _options(parsers[command])
    texts = [
        text
        for name, value in values.items()
        if name in options and not os.environ.get(VARIABLES.get(name, "")) and (not resumed or name in ("cache", "out"))
        for text in _texts(path, name, value, options[name])
    ]
    return [command, *texts, *arguments[1:]]


def _read(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    for place in (folder, *folder.parents):
        for name in FILES:
            path = place / name
            if not path.is_file():
                continue
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                if name == "pyproject.toml":  # somebody else's to complain of
                    continue
                raise UsageError(f"{path} cannot be read: {error}.") from error
            if name == "pyproject.toml":
                table = table.get("tool", {}).get("mnbench")
            if table is not None:
                return path, table
    return None


def _parsers(known: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in known._actions:
        if isinstance(action.choices, dict):
            return {name: parser for name, parser in action.choices.items() if name in COMMANDS}
    return {}


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        text.removeprefix("--"): action
        for action in parser._actions
        for text in action.option_strings
        if text.startswith("--") and text.removeprefix("--") not in NEVER
    }


def _check(path: Path, table: Mapping[str, Any], parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Raise UsageError for a name that is no option, with the nearest one."""
    everywhere = {name for parser in parsers.values() for name in _options(parser)}
    for name, value in table.items():
        if name in parsers and isinstance(value, dict):
            for inner in value:
                _require(path, f"{name}.{inner}", inner, set(_options(parsers[name])))
        else:
            _require(path, name, name, everywhere)


def _require(path: Path, shown: str, name: str, known: set[str]) -> None:
    if name.replace("_", "-") not in known:
        near = difflib.get_close_matches(name.replace("_", "-"), sorted(known), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"{path} sets {shown!r}, which is no option{hint}")


def _texts(path: Path, name: str, value: Any, action: argparse.Action) -> Iterator[str]:
    """Yield what the command line would say for a value. Raises UsageError for one that no option can have."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{path} sets {name!r} to {value!r}; it is true or false.")
        if value:
            yield f"--{name}"
        return
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and action.nargs is None and not isinstance(action, argparse._AppendAction):
        raise UsageError(f"{path} sets {name!r} to a list; it takes one value.")
    if any(isinstance(each, bool | dict) for each in values) or not values:
        raise UsageError(f"{path} sets {name!r} to {value!r}; give numbers or texts.")
    texts = [str(each) for each in values]
    if action.type is not None:
        for text in texts:
            _convert(path, name, text, action)
    if isinstance(action, argparse._AppendAction):
        yield from (part for text in texts for part in (f"--{name}", text))
    else:
        yield from (f"--{name}", *texts)


def _convert(path: Path, name: str, text: str, action: argparse.Action) -> None:
    try:
        action.type(text)  # type: ignore[operator, misc]
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{path} sets {name!r} to {text!r}, which cannot be: {error}.") from error
