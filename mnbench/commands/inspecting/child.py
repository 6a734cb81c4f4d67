"""The process that opens somebody else's model: a runtime may crash or hang on it, and a module is code.

Run as `python -m mnbench.commands.inspecting.child OUT` with the number of an inherited file; standard input is a
Request. It writes one Answer. It is ended with its parent, and after a time limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from mnbench import backends, sources
from mnbench.environment import package_version
from mnbench.errors import ExportError, MnbenchError
from mnbench.records import ExportSpec, LayerCost, Remark, TensorSpec
from mnbench.sources.shapes import UnfitInputsError
from mnbench.system.processes import die_with_parent, quiet, refusal

LONGEST_LINE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A file to open in a backend, or else a module to open."""

    backend: str = ""
    path: str = ""
    sizes: tuple[tuple[int, ...], ...] = ()
    """Of the inputs in their order; empty where they are not known."""
    spec: ExportSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found; `failure` alone where the model cannot be opened."""

    failure: str = ""
    version: str = ""
    """Of the backend that opened the file."""
    problem: str = ""
    """Why a module that was opened could not be run."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    params: int | None = None
    madds: int | None = None
    layers: tuple[LayerCost, ...] = ()
    weight_dtypes: Mapping[str, int] = field(default_factory=dict)
    denormal_weights: int | None = None
    uncounted: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


def ask(request: Request, timeout_s: float) -> Answer:
    """Have a process of its own open a model; wait for it, at most `timeout_s`. A process that dies is an answer, too."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as chatter:
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "mnbench.commands.inspecting.child", str(answer.fileno())],
                input=msgspec.json.encode(request),
                stdout=chatter,
                stderr=subprocess.STDOUT,
                pass_fds=(answer.fileno(),),
                env=quiet(os.environ),
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(failure=f"opening it takes longer than {timeout_s:g} s.")
        except OSError as error:
            raise ExportError(f"a process that opens the model could not be started: {refusal(error)}.") from error
        answer.seek(0)
        if told := answer.read():
            return msgspec.json.decode(told, type=Answer)
        chatter.seek(0)
        last = " ".join(chatter.read().decode(errors="replace").strip().splitlines()[-1:])[:LONGEST_LINE]
    how = f"with {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"with exit code {done.returncode}"
    return Answer(failure=f"the model ends the process that opens it {how}{f': {last}' if last else '.'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the request on standard input. Returns the exit code."""
    die_with_parent()
    (number,) = (int(text) for text in (arguments or sys.argv[1:]))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        answer = _load(request) if request.spec is None else _open(request.spec)
    except MnbenchError as error:
        answer = Answer(failure=str(error))
    except MemoryError:
        answer = Answer(failure="it needs more memory than there is.")
    except Exception as error:  # somebody else's code; whatever it raises, the user gets a sentence
        answer = Answer(failure=f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST_LINE]}")
    os.write(number, msgspec.json.encode(answer))
    return 0


def _load(request: Request) -> Answer:
    """Open a file in a backend, without running it."""
    backend = backends.get(request.backend)
    if isinstance(backend, backends.Loader):
        backend.load_runtime()
        backend.load(Path(request.path), request.sizes)
    versions = (f"{package} {package_version(package)}" for package in backend.packages)
    return Answer(version=", ".join(versions))


def _open(spec: ExportSpec) -> Answer:
    """Open a module and run it once; where its inputs are not known, tell what is known without running it."""
    from mnbench.export import torch_state

    opened = sources.open_module(spec.source, spec.seed)
    dtypes: Counter[str] = Counter()
    for parameter in opened.module.parameters():
        dtypes[str(parameter.dtype).removeprefix("torch.")] += parameter.numel()
    known = Answer(params=dtypes.total(), weight_dtypes=dict(dtypes.most_common()))
    try:
        ran = torch_state.run(opened, spec)
    except (UnfitInputsError, ExportError) as error:
        return replace(known, problem=str(error))
    return Answer(
        inputs=ran.inputs,
        outputs=ran.output_specs,
        params=ran.counts.params,
        madds=ran.counts.madds,
        layers=torch_state.layer_costs(ran.counts),
        weight_dtypes=known.weight_dtypes,
        denormal_weights=ran.denormals.weights,
        uncounted=ran.counts.uncounted,
        remarks=ran.remarks,
    )


if __name__ == "__main__":
    sys.exit(main())
