"""Folders of artefacts that something else filled: the one asked for is found by what it is, intact, and the only one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mnbench import export
from mnbench.errors import UsageError
from mnbench.export import cache
from mnbench.records import Artifact, ExportSpec, Format, Source

SPEC = ExportSpec(
    model="mobilenet_v1_0.25_128",
    source=Source(scheme="catalog", locator="mobilenet_v1_0.25_128"),
    precision="fp32",
    batch=1,
    opset=18,
    seed=0,
)


def put(folder: Path, name: str, spec: ExportSpec = SPEC, kind: Format = Format.ONNX) -> Artifact:
    """Write an artefact as the cache does, into the sub-folder `name`."""
    (folder / name).mkdir(parents=True)
    main = folder / name / "model.onnx"
    main.write_bytes(name.encode())
    digests = {f"{name}/model.onnx": hashlib.sha256(name.encode()).hexdigest()}
    artifact = Artifact(
        spec=spec, format=kind, path=f"{name}/model.onnx", sha256=digests, size_bytes=1, exporter="torch 2.0",
        max_abs_error=0.0, max_rel_error=0.0, explained_rel_error={"fp32": 1e-4}, feed_path="feed.npz",
    )  # fmt: skip
    (folder / name / cache.RECORD).write_bytes(msgspec.json.encode(cache._seal(artifact)))
    return artifact


def test_an_artefact_is_found_among_others_whatever_its_opset(tmp_path):
    wanted = put(tmp_path, "wanted", replace(SPEC, opset=17))
    put(tmp_path, "state", kind=Format.TORCH_STATE)
    put(tmp_path, "batch", replace(SPEC, batch=8))
    put(tmp_path, "other", replace(SPEC, model="mobilenet_v2_0.35_96"))
    put(tmp_path, ".draft")
    assert export.find(tmp_path, SPEC, Format.ONNX) == wanted


def test_a_missing_artefact_is_named_with_all_that_was_asked_for(tmp_path):
    put(tmp_path, "state", kind=Format.TORCH_STATE)
    with pytest.raises(UsageError, match=r"has no artefact of mobilenet_v1_0\.25_128 as onnx, fp32, batch 1, seed 0; export"):
        export.find(tmp_path, SPEC, Format.ONNX)


def test_two_artefacts_of_one_kind_are_ambiguous(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b")
    with pytest.raises(UsageError, match=r"has 2 artefacts of .*: a, b\. Copy the one you mean to a folder of its own\."):
        export.find(tmp_path, SPEC, Format.ONNX)


@pytest.mark.parametrize(("name", "was", "now"), [("model.onnx", b"a", b"b"), (cache.RECORD, b"torch 2.0", b"torch 3.0")])
def test_an_artefact_that_was_changed_is_refused(tmp_path, name, was, now):
    put(tmp_path, "a")
    file = tmp_path / "a" / name
    file.write_bytes(file.read_bytes().replace(was, now))
    with pytest.raises(UsageError, match="is damaged"):
        export.find(tmp_path, SPEC, Format.ONNX)


def test_a_folder_of_artefacts_is_told_from_any_other(tmp_path):
    assert not export.holds_artifacts(tmp_path)
    put(tmp_path, ".draft")
    assert not export.holds_artifacts(tmp_path)
    put(tmp_path, "a")
    assert export.holds_artifacts(tmp_path)
