"""An artefact's bytes are those of its specification, whatever its process made before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.command import SMALLEST, environment
from tests.situations import situation

MAKE = """
import sys
from dataclasses import replace
from pathlib import Path
from mnbench.export.cache import ensure
from mnbench.records import ExportSpec, Format, Source
spec = ExportSpec(model=sys.argv[2], precision="fp32", source=Source(scheme="catalog", locator=sys.argv[2]),
                  batch=1, opset=int(sys.argv[3]), seed=0)
for kind, order in (pair.split(":") for pair in sys.argv[4:]):
    made = ensure(replace(spec, node_order=int(order)), Format(kind), Path(sys.argv[1]))
    print(kind, order, *sorted(made.sha256.values()))
"""


def digests(cache, model, *pairs):
    from mnbench.commands.compare import OPSET

    done = subprocess.run([sys.executable, "-c", MAKE, str(cache), model, str(OPSET), *pairs], capture_output=True, text=True,
                          check=True, env=environment())  # fmt: skip
    return {tuple(line.split()[:2]): line.split()[2:] for line in done.stdout.splitlines()}


@situation(
    "files",
    "A file of the cache is made again alone, or after other files in the same process",
    "gives the same bytes, so that an interrupted run can be resumed",
)
@pytest.mark.parametrize("model", [SMALLEST])
def test_a_file_has_the_same_bytes_whatever_was_made_before_it(tmp_path, model):
    from mnbench.records import Format

    pairs = [f"{kind}:{order}" for kind in (Format.ONNX, Format.OPENVINO_IR) for order in (0, 1, 2)]
    together = digests(tmp_path / "together", model, f"{Format.TORCH_STATE}:0", *pairs)
    alone = digests(tmp_path / "alone", model, pairs[-1], pairs[1])
    backwards = digests(tmp_path / "backwards", model, *pairs[::-1])
    assert all(together[key] == found for key, found in alone.items())
    assert all(together[key] == found for key, found in backwards.items())
