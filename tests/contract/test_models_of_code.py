"""Models that are torch modules: functions in files and packages, saved programs, and whatever else such a function does."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from mnbench import sources
from mnbench.errors import ExportError, ModelFileError, UnknownNameError, UsageError
from mnbench.export.cache import ensure
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest
from mnbench.records import Case, ExportSpec, Format
from mnbench.sources.modules import call_inputs
from tests import odd_models
from tests.opened import look, outcomes

SOURCE = '''
import os, sys, time
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def with_example():
    return net(), torch.zeros(1, 3, 8, 8)


class Two(nn.Module):
    """Several inputs of several types; outputs in a dict, in a list, and one that is a scalar."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, image, ids, scale=None):
        return {"logits": self.layer(image), "more": [ids + 1, image.sum()]}


def two():
    return Two(), (torch.ones(1, 4), torch.zeros(1, 2, dtype=torch.int64))


def printing():
    print("hello\\n" * 1000)
    os.write(1, b"raw")
    return with_example()


class Dropping(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


def dropping():
    return Dropping(), torch.ones(1, 64)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def branching():
    return Branching(), torch.ones(1, 4)


def double():
    return net().double(), torch.zeros(1, 3, 8, 8, dtype=torch.double)


def scripted():
    return torch.jit.trace(net().eval(), torch.zeros(1, 3, 8, 8)), torch.zeros(1, 3, 8, 8)


def raising():
    raise ValueError("no weights\\nhere")


def leaving():
    sys.exit(3)


def asking():
    return input("which? ")


def nothing():
    return None


def wanting(width):
    return net()


def no_example():
    return net(), {"x": 1}


def gone():
    os._exit(7)


def aborting():
    sys.stderr.write("terminate called: out of luck\\n")
    sys.stderr.flush()
    os.abort()


def hanging():
    time.sleep(1000)


number = 5
'''
REFUSED = {
    "raising": "raising() failed: ValueError: no weights here",
    "leaving": "leaving() failed: SystemExit: 3",
    "nothing": "nothing() returned NoneType; it must return a torch module, or (module, example_input).",
    "wanting": "wanting() failed: TypeError: wanting() missing 1 required positional argument: 'width'",
    "no_example": "no_example() returned an example input that is neither a tensor nor a tuple of tensors.",
    "number": "number() failed: TypeError: 'int' object is not callable",
    "absent": "/mine.py has no 'absent'.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("of code")
    (found / "mine.py").write_text(SOURCE)
    (found / "broken.py").write_text("def f(:\n")
    return found


@pytest.fixture
def cache(folder):
    return folder / "cache"


def spec_of(model, batch=1, **shapes):
    return ExportSpec(
        model=model.id, precision="fp32", batch=batch, opset=18, seed=0, source=model.source, shapes=tuple(shapes.items())
    )


def made(text, kind, cache, batch=1, **shapes):
    """Export a model in this process."""
    (model,) = look(text)
    return ensure(spec_of(model, batch, **shapes), kind, cache)


def opened(artifact, backend, cache, tmp_path):
    case = Case(model=artifact.spec.model, backend=backend, batch=artifact.spec.batch)
    worker = Worker(case, tmp_path / "log")
    try:
        return worker.open(OpenRequest(case=case, artifact=artifact, cache=str(cache), cpus=(0,)), 60.0)
    finally:
        worker.close()


@pytest.mark.parametrize("name", REFUSED)
def test_a_function_that_gives_no_model_is_refused_with_what_it_did(folder, name):
    (model,) = look(f"{folder}/mine.py:{name}")
    with pytest.raises(ExportError) as raised:
        sources.open_module(model.source, 0)
    assert str(raised.value).endswith(REFUSED[name])


def test_a_file_that_python_cannot_read_is_refused(folder):
    (model,) = look(f"{folder}/broken.py:f")
    with pytest.raises(ExportError, match=r"importing .*broken\.py failed: SyntaxError: invalid syntax"):
        sources.open_module(model.source, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere.py:f", r"nowhere\.py cannot be read: No such file or directory\."),
        ("some/folder:f", r"no Python file"),
        ("mine.py:", "is neither FILE.py:FUNCTION nor package.module:FUNCTION"),
        (":f", "is neither FILE.py:FUNCTION nor package.module:FUNCTION"),
        ("mine.py", "is not a model that mnbench opens"),
        ("weights.safetensors", "is not a model that mnbench opens"),
    ],
)
def test_a_text_that_is_no_model_is_refused_before_anything_runs(text, words):
    with pytest.raises(UsageError, match=words):
        look(text)


def test_an_input_without_sizes_names_the_option_and_takes_it(folder, cache):
    with pytest.raises(UsageError, match=r"nobody says how large input 'input' is: .* --shape input=1,3,224,224"):
        made(f"{folder}/mine.py:net", Format.TORCH_STATE, cache)
    artifact = made(f"{folder}/mine.py:net", Format.TORCH_STATE, cache, batch=2, input=(2, 3, 9, 9))
    assert [(spec.name, spec.dims) for spec in artifact.inputs] == [("input", (2, 3, 9, 9))]
    with pytest.raises(UsageError, match=r"--shape names the input 'q'; the module has input\."):
        made(f"{folder}/mine.py:net", Format.TORCH_STATE, cache, q=(1, 3, 9, 9))


@pytest.mark.parametrize("kind", [Format.TORCH_STATE, Format.ONNX, Format.OPENVINO_IR])
def test_several_inputs_and_outputs_of_any_structure_pass_every_format(folder, cache, kind):
    artifact = made(f"{folder}/mine.py:two", kind, cache)
    assert [(spec.name, spec.dtype, spec.dims) for spec in artifact.inputs] == [
        ("image", "float32", (1, 4)), ("ids", "int64", (1, 2)),
    ]  # fmt: skip
    assert [(spec.dtype, spec.dims) for spec in artifact.outputs] == [("float32", (1, 4)), ("int64", (1, 2)), ("float32", ())]
    assert all("example" in spec.filled for spec in artifact.inputs)


@pytest.mark.parametrize(("backend", "kind"), [("torch", Format.TORCH_STATE), ("ort", Format.ONNX)])
def test_the_answers_of_a_users_module_are_torchs_in_each_runtime(folder, cache, tmp_path, backend, kind):
    artifact = made(f"{folder}/mine.py:two", kind, cache)
    reply = opened(artifact, backend, cache, tmp_path)
    assert reply.max_rel_error < 1e-5
    assert not reply.remarks


def test_a_module_of_a_package_is_found_from_the_folder_one_stands_in(folder, cache, monkeypatch):
    (folder / "package").mkdir()
    (folder / "package" / "models.py").write_text(SOURCE)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    artifact = made("package.models:printing", Format.TORCH_STATE, cache)
    assert artifact.spec.model == "package.models_printing"
    assert artifact.inputs[0].dims == (1, 3, 8, 8)


def test_an_example_of_one_image_makes_any_batch(folder, cache):
    artifact = made(f"{folder}/mine.py:with_example", Format.TORCH_STATE, cache, batch=4)
    assert artifact.inputs[0].dims == (4, 3, 8, 8)


def test_a_module_that_differs_from_itself_is_reported_and_not_compared(folder, cache):
    artifact = made(f"{folder}/mine.py:dropping", Format.ONNX, cache)
    assert "differs-from-itself" in {remark.code for remark in artifact.remarks}


def test_what_torch_cannot_export_is_one_sentence_without_a_page_of_advice(folder, cache):
    with pytest.raises(ExportError) as raised:
        made(f"{folder}/mine.py:branching", Format.ONNX, cache)
    assert str(raised.value).startswith("torch cannot export mine_branching to ONNX: ")
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_a_file_that_onnxruntime_refuses_may_still_run_in_another_runtime(folder, cache, tmp_path):
    artifact = made(f"{folder}/mine.py:double", Format.OPENVINO_IR, cache)
    assert opened(artifact, "openvino", cache, tmp_path).max_rel_error < 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_says_its_inputs_itself(folder):
    (model,) = look(f"{folder}/mine.py:scripted")
    module = sources.open_module(model.source, 0)
    assert [tuple(tensor.shape) for tensor in call_inputs(module, {}, 1).values()] == [(1, 3, 8, 8)]


def test_a_function_that_ends_or_hangs_its_process_is_named_and_the_others_are_made(folder):
    """Each model has a process of its own."""
    texts = [f"{folder}/mine.py:{name}" for name in ("gone", "aborting", "hanging")]
    good = odd_models.saved(odd_models.convolution(), folder / "good.onnx")
    found = outcomes(look(*texts, good), folder / "children", runtimes=("ort",), timeout_s=8.0)
    assert found["mine_gone", "ort"].failed == "the model ends the process that opens it with exit code 7."
    assert found["mine_aborting", "ort"].failed == (
        "the model ends the process that opens it with SIGABRT: terminate called: out of luck"
    )
    assert found["mine_hanging", "ort"].failed.startswith("one inference takes more than 8 s: ")
    assert not found["good", "ort"].failed


# Programs that torch.export saved.


class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("free", [False, True])
def test_a_saved_program_runs_with_a_fixed_or_a_free_batch(folder, cache, tmp_path, free):
    path = folder / f"saved_{free}.pt2"
    dynamic = ({0: torch.export.Dim("batch")},) if free else None
    torch.export.save(torch.export.export(Scaled(), (torch.ones(2, 8),), dynamic_shapes=dynamic), path)
    batch = 5 if free else 2
    artifact = made(path, Format.ONNX, cache, batch=batch)
    assert artifact.inputs[0].dims == (batch, 8)
    assert opened(artifact, "ort", cache, tmp_path).max_rel_error < 1e-5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello" * 100, "is no program that torch.export saved: it is no zip archive"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    ],
)
def test_a_file_that_is_no_saved_program_is_refused_at_once(tmp_path, data, words):
    (tmp_path / "m.pt2").write_bytes(data)
    with pytest.raises(ModelFileError, match=words):
        look(tmp_path / "m.pt2")


# Builders of other packages.


def needs(package):
    if importlib.util.find_spec(package) is None:  # importing it would find torchvision's operators missing
        pytest.skip(f"needs {package}")


@pytest.mark.parametrize("scheme", ["timm", "torchvision"])
def test_a_name_that_a_package_does_not_have_is_refused(scheme):
    needs(scheme)
    (model,) = look(f"{scheme}:mobilenet_v9")
    with pytest.raises(UnknownNameError, match=rf"unknown model of {scheme} 'mobilenet_v9'; did you mean"):
        sources.open_module(model.source, 0)


def test_a_size_asked_of_a_network_of_timm_is_honoured(cache):
    needs("timm")
    (model,) = look("timm:tinynet_e", x=(1, 3, 64, 64))
    assert model.inputs[0].dims == ("batch", 3, 64, 64)
    artifact = made("timm:tinynet_e", Format.TORCH_STATE, cache, x=(1, 3, 64, 64))
    assert artifact.inputs[0].dims == (1, 3, 64, 64)
    assert artifact.max_rel_error == 0.0


def test_a_network_of_torchvision_is_built_although_its_compiled_part_does_not_fit(cache):
    needs("torchvision")
    artifact = made("torchvision:squeezenet1_1", Format.TORCH_STATE, cache)
    assert artifact.inputs[0].dims == (1, 3, 224, 224)
    assert [spec.dims for spec in artifact.outputs] == [(1, 1000)]
