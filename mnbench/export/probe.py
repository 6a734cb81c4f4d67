"""Probes have nothing to export: a small file says what one call does, so that the ordinary way to a worker holds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mnbench.catalog import probes
from mnbench.errors import UsageError
from mnbench.export.cache import Made
from mnbench.records import ExportSpec, LayerCost, ModelFacts
from mnbench.sources import feeds


def export(spec: ExportSpec, folder: Path, cache: Path) -> Made:
    """Write probe.json, and an empty feed.

    The layer holds the work of one call: the MAdds of all threads, or the elements that each thread reads and writes; its
    `params` are the elements of the buffer in which a thread does so.
    Raises UsageError for a network, or a batch.
    """
    probe = probes.parse(spec.model)
    if probe is None:
        raise UsageError(f"backend 'probe' runs kernels such as matmul_1024 or read_16k, not the network {spec.model!r}.")
    if spec.batch != 1:
        raise UsageError(f"probe {spec.model!r} has no batch; it was asked for {spec.batch}.")
    feeds.save(folder / "feed.npz", [], [])
    moved = probe.elements * probe.passes
    work = LayerCost(
        name=probe.name,
        kind=probe.kind,
        params=probe.buffer_bytes // probes.ELEMENT_BYTES,
        madds=probe.madds if probe.kind in probes.COMPUTE else 0,
        input_elements=moved,
        output_elements=moved if probe.kind == "copy" else 0,
        output_shape=(),
    )
    (folder / "probe.json").write_bytes(msgspec.json.encode(work))
    return Made(
        main="probe.json",
        exporter="mnbench",
        max_abs_error=0.0,
        max_rel_error=0.0,
        facts=ModelFacts(model=spec.model, params=0, madds=work.madds, layers=(work,)),
        explained_rel_error={"fp32": 0.0, "bf16": 0.0, "int8": 0.0},
        inputs=(),
        outputs=(),
        reference="",
    )
