"""Another package that adds a source, a format with two converters, a backend and a report format to mnbench.

A model of it is `toy:FACTOR`: it multiplies four numbers by the factor. Its runtime is numpy. Of an ONNX file its converter
keeps the first weight as the factor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnbench.errors import UsageError
from mnbench.export.cache import Made, ensure
from mnbench.export.inputs import filled
from mnbench.export.ways import Edge
from mnbench.records import BATCH, Format, Model, ModelFacts, Source, TensorSpec
from mnbench.sources import feeds


class ToySource:
    gives = "toy-description"
    packages = ("mnbench-toy",)

    def missing(self):
        return None

    def describe(self, locator, shapes):
        try:
            float(locator)
        except ValueError:
            raise UsageError(f"toy:{locator} is no number.") from None
        inputs = (TensorSpec(name="x", dtype="float32", dims=(BATCH, 4)),)
        return Model(id=f"toy_{locator}", title=f"toy:{locator}", source=Source(scheme="toy", locator=locator), inputs=inputs)


def export_description(spec, folder, cache):
    factor = np.float32(spec.source.locator)
    specs = [TensorSpec(name="x", dtype="float32", dims=(spec.batch, 4))]
    arrays, inputs = filled(specs, spec.seed, spec.data)
    return _made(spec.model, folder, factor, inputs, arrays, [arrays[0] * factor])


def export_onnx(spec, folder, cache):
    import onnx
    from onnx import numpy_helper

    source = ensure(spec, Format.ONNX, cache)
    factor = numpy_helper.to_array(onnx.load(cache / source.path).graph.initializer[0]).ravel()[0]
    feed = feeds.Feed.load(cache / source.feed_path, source)
    return _made(spec.model, folder, factor, source.inputs, feed.inputs, feed.outputs)


def _made(model, folder, factor, inputs, arrays, answers):
    (folder / "factor.toy").write_text(str(factor))
    feeds.save(folder / "feed.npz", arrays, answers)
    return Made(
        main="factor.toy", exporter="toy", facts=ModelFacts(model=model, params=1, madds=4),
        max_abs_error=0.0, max_rel_error=0.0, explained_rel_error={"fp32": 1e-6}, inputs=tuple(inputs),
        outputs=(TensorSpec(name="y", dtype="float32", dims=answers[0].shape),), reference="toy arithmetic", strict=False,
    )  # fmt: skip


FROM_DESCRIPTION = Edge(
    takes="toy-description", gives="toy", function="mnbench_toy:export_description", packages=("mnbench-toy",)
)
FROM_ONNX = Edge(takes="onnx", gives="toy", function="mnbench_toy:export_onnx", packages=("mnbench-toy",))


class ToySession:
    def __init__(self, factor, feed, threads):
        self._factor, self._threads = factor, threads
        (self._x,) = feed.inputs
        self._y = np.empty_like(self._x)

    def run(self):
        np.multiply(self._x, self._factor, out=self._y)

    def outputs(self):
        return (self._y,)

    def effective(self):
        return {"threads": str(self._threads), "streams": "1", "precision": "fp32", "version": "1.5"}

    def close(self):
        pass


class ToyBackend:
    name = "toyrt"
    format = "toy"
    packages = ("mnbench-toy",)
    precisions = ("fp32",)
    environment = {}  # noqa: RUF012 - the protocol's field

    def missing(self):
        return None

    def load_runtime(self):
        pass

    def open(self, artifact, root, feed, *, threads, precision):
        return ToySession(np.float32(Path(root / artifact.path).read_text()), feed, threads)


def write_lines(view, directory):
    path = directory / "toy.txt"
    path.write_text("".join(f"{row.case.id} {row.launches}\n" for row in view.rows))
    return [path]
