"""What `mnbench inspect` shows of a model: what goes in and out, what each runtime will do with it, then what was counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from mnbench.records import TensorSpec
from mnbench.records.inspection import Does, Inspection
from mnbench.report.grid import Grid, draw, texts
from mnbench.report.models import tensor

STYLES = {Does.OPENS: "green", Does.CONVERTS: "green", Does.CANNOT: "yellow"}
LABEL = 16
"""Width of the names of facts."""


def render(found: Inspection, console: Console) -> None:
    """Print what was found on `console`, at whatever width it has."""
    console.print(Text(found.title, style="bold"))
    console.print(Text(_written(found)))
    _print_tensors("Inputs", found.inputs, console)
    _print_tensors("Outputs", found.outputs, console)
    if found.problem:
        console.print(Text(found.problem, style="bold yellow"))
        console.print()
    console.print(Text("Runtimes", style="bold"))
    for outlook in found.backends:
        _line(console, outlook.backend, f"{outlook.does}: {outlook.detail}", STYLES[outlook.does])
    console.print()
    console.print(Text("Counted", style="bold"))
    for name, value in facts(found):
        _line(console, name, value)
    _print_kinds(found, console)
    console.print(Text("Files", style="bold"))
    for file in found.files:
        _line(console, f"{file.size_bytes:,} B", file.name)
    if found.source.sha256:
        _line(console, "SHA-256", found.source.sha256)
    elif not found.files:
        console.print(Text("  none: the model is built by code"))


def to_json(found: Inspection) -> str:
    """Return the same for programs: the fields of `Inspection`."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False, allow_nan=False)


def facts(found: Inspection) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of what was counted and seen, as far as it is known."""
    if found.params is not None:
        yield "parameters", f"{found.params:,}{_stored(found.weight_dtypes)}"
    yield "MAdds", "unknown while sizes are open" if found.madds is None else f"{found.madds:,} for one image"
    if found.denormal_weights is not None:
        yield (
            "denormals",
            f"{found.denormal_weights:,} of {found.params or 0:,} weights" if found.denormal_weights else "none in the weights",
        )
    if found.data_dependent:
        yield "depends on data", f"{_numbered(found.data_dependent)}: its time depends on the values of the input"
    if found.random_operators:
        yield "random", f"{_numbered(found.random_operators)}: its outputs differ from run to run"
    if found.uncounted:
        yield "not counted", f"{', '.join(found.uncounted)}: the multiply-adds may be too few"
    yield from (("note", note) for note in found.notes)
    yield from ((remark.code, remark.observed) for remark in found.remarks)


def _written(found: Inspection) -> str:
    parts = [found.format]
    if found.ir_version is not None:
        parts.append(f"IR version {found.ir_version}")
    parts += [f"opset {version}{'' if domain == 'ai.onnx' else f' of {domain}'}" for domain, version in found.opsets.items()]
    parts.append("written by an unknown exporter" if found.exporter == "unknown" else f"written by {found.exporter}")
    return ", ".join(parts)


def _print_tensors(title: str, specs: Sequence[TensorSpec], console: Console) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    for spec in specs:
        filled = f" ({spec.filled})" if spec.filled else ""
        _line(console, spec.name, f"{tensor(spec)}{filled}")
    if not specs:
        console.print(Text("  unknown before it runs"))
    if title == "Outputs":
        console.print()


def _print_kinds(found: Inspection, console: Console) -> None:
    """Print a table of the layers by kind."""
    if not found.kinds:
        console.print()
        return
    total = sum(kind.madds for kind in found.kinds)
    rows = [
        [
            kind.kind,
            str(kind.layers),
            f"{kind.params:,}",
            f"{kind.madds:,}",
            f"{100 * kind.madds / total:.1f}" if total else "–",
        ]
        for kind in found.kinds
    ]
    draw(console, [Grid(head=("layers", "number", "params", "MAdds", "% of MAdds"), align="lrrrr", rows=texts(rows))])


def _line(console: Console, name: str, value: str, style: str = "") -> None:
    """Print a name and its value; a long value goes on below itself, or on lines of its own where names are long."""
    if len(name) < LABEL and console.width >= 2 * LABEL:
        line = Text.assemble("  ", f"{name:<{LABEL}}", (value, style))
        if line.cell_len <= console.width:
            console.print(line)
            return
        console.print(Text(f"  {name}"))
    else:
        console.print(Text(f"  {name}"))
    console.print(Padding(Text(value, style=style), (0, 0, 0, 4), expand=False), overflow="fold")


def _stored(dtypes: Mapping[str, int]) -> str:
    """Return the types that parameters are stored in; how many of each, where there are several."""
    if len(dtypes) < 2:
        return "".join(f" in {dtype}" for dtype in dtypes)
    return f" ({', '.join(f'{number:,} in {dtype}' for dtype, number in dtypes.items())})"


def _numbered(operators: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in operators.items())
