"""Plans as files: `mnbench plan … > plan.json`, `mnbench measure plan.json`, here or on another host with these CPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from mnbench import environment
from mnbench.errors import UsageError
from mnbench.records import SCHEMA_VERSION, Plan


class _PlanFile(msgspec.Struct):
    schema_version: int
    plan: Plan


def to_json(the_plan: Plan) -> str:
    """Return a plan as the text of its file."""
    document = _PlanFile(schema_version=SCHEMA_VERSION, plan=the_plan)
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def read(path: Path) -> Plan:
    """Return the plan of a file; `-` is standard input. Raises UsageError for what is no plan, and for other CPUs."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"the plan {path} cannot be read: {error.strerror}.") from error
    try:
        found = msgspec.json.decode(data, type=_PlanFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no plan that `mnbench plan` printed: {error}.") from error
    if found.schema_version != SCHEMA_VERSION:
        raise UsageError(f"the plan {path} has version {found.schema_version}; this mnbench reads version {SCHEMA_VERSION}.")
    for cpus in (found.plan.cpus, *found.plan.cpu_sets):
        environment.choose_cpus(len(cpus), cpus)
    return found.plan
