"""Odd ONNX files and OpenVINO IRs in both runtimes: each is measured, or refused with one sentence; none harms another."""

from __future__ import annotations

import shutil

import numpy as np
import openvino as ov
import pytest

from mnbench.backends.openvino import _kernel_precision
from mnbench.commands.compare import spec_of
from mnbench.errors import ModelFileError, UsageError
from mnbench.export import ensure_each
from mnbench.export.inputs import data_file
from mnbench.records import BATCH, Format
from tests import odd_models
from tests.conftest import a_plan
from tests.odd_models import BACKENDS_REFUSE, ODD, saved, saved_outside
from tests.opened import RUNTIMES, cases_of, look, outcomes

REFUSED_BY_ALL = ("strings_out", "sequence_out")
FAIL = {
    ("custom_domain", "ort"): "does not know the operator my.ops.Swirl.",
    ("custom_domain", "openvino"): "my.ops.Swirl",
    ("local_function", "openvino"): "No conversion rule found for operations: local.Twice",
    ("ir_99", "ort"): "the file has ONNX IR version 99; onnxruntime ",
    ("opset_999", "ort"): "the file has opset 999; onnxruntime ",
    ("dropout_in_training", "openvino"): "Training mode is not supported",
}
"""What cannot be opened, and a part of the sentence that says so."""
REMARKS = {
    "wrong_declared_output": ("declared-shape", "output 'y' is declared as [1, T] and came as [3, 64]"),
    "detector": ("output-size-unknown", "the size of output 'found' is known only after running (here [40, 3])"),
    "nan_output": ("empty-answers", "its outputs are NaN on random data"),
    "zero_output": ("empty-answers", "its outputs are zero on random data"),
    "float16": ("half-precision-file", "this is not the speed of float16"),
    "custom_domain": ("not-compared", "does not know the operator my.ops.Swirl"),
}
"""What the artefact of a model says of it."""
OF_MODEL = {
    "branch": ("time-depends-on-data", "1 If"),
    "detector": ("time-depends-on-data", "1 NonMaxSuppression"),
    "random_output": ("random-by-design", "1 RandomNormalLike"),
    "dropout_in_training": ("random-by-design", "1 Dropout"),
    "float16": ("half-precision-file", "32 of its 32 weights are stored as float16"),
}
"""What is said of a model when its file is looked at."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module")
def looked_at(folder):
    every = {**ODD, **{name: make for name, make in BACKENDS_REFUSE.items() if name not in REFUSED_BY_ALL}}
    models = look(*(saved(make(), folder / f"{name}.onnx") for name, make in every.items()))
    return {model.id: model for model in models}


@pytest.fixture(scope="module")
def measured(folder, looked_at):
    return outcomes(list(looked_at.values()), folder / "cache")


@pytest.mark.parametrize("backend", RUNTIMES)
@pytest.mark.parametrize("name", [*ODD, *(name for name in BACKENDS_REFUSE if name not in REFUSED_BY_ALL)])
def test_an_odd_file_runs_or_fails_with_one_sentence(measured, name, backend):
    outcome = measured[name, backend]
    if (name, backend) in FAIL:
        assert FAIL[name, backend] in outcome.failed
        assert "\n" not in outcome.failed
        assert "onnxruntime_src" not in outcome.failed
    else:
        assert not outcome.failed
        assert outcome.reply


@pytest.mark.parametrize("name", [name for name in ODD if name not in ("ceil_pooling", "huge_logits", "denormal_weights")])
def test_no_difference_is_reported_where_the_runtimes_agree(measured, name):
    assert "outputs-differ" not in measured[name, "ort"].remarks
    assert "outputs-differ" not in measured[name, "openvino"].remarks


def test_differences_are_reported_with_their_size(measured):
    assert (
        "output shapes of 'y' differ: [1, 3, 5, 5] and [1, 3, 4, 4]"
        in measured["ceil_pooling", "openvino"].remarks["outputs-differ"]
    )
    assert "of the largest; this precision explains 0.001" in measured["huge_logits", "openvino"].remarks["outputs-differ"]


@pytest.mark.parametrize("name", REMARKS)
def test_what_is_odd_about_a_file_is_reported(measured, name):
    code, words = REMARKS[name]
    outcome = measured[name, "ort"]
    assert words in outcome.remarks[code]


@pytest.mark.parametrize("name", OF_MODEL)
def test_what_a_graph_says_is_reported_before_it_runs(looked_at, name):
    code, words = OF_MODEL[name]
    assert any(remark.code == code and words in remark.observed for remark in looked_at[name].remarks)


def test_random_outputs_are_compared_with_nothing(measured):
    assert measured["random_output", "ort"].artifact.reference == ""
    assert measured["random_output", "ort"].reply.max_rel_error is None


def test_inputs_are_filled_by_their_type(measured):
    def filled(name):
        return [(spec.dtype, spec.filled) for spec in measured[name, "ort"].artifact.inputs]

    assert filled("image_and_shape") == [("float32", "standard normal"), ("int64", "ones")]
    assert filled("index") == [("int64", "integers 0 and 1")]
    assert filled("takes_bool") == [("bool", "random true and false")]
    assert filled("bfloat16_cast") == [("bfloat16", "standard normal")]
    assert filled("scalar_input") == [("float32", "standard normal")] * 2
    assert filled("no_input") == []
    assert filled("initialisers_are_inputs") == [("float32", "standard normal")]


def test_outputs_keep_their_types_and_sizes(measured):
    outputs = measured["several_outputs", "openvino"].artifact.outputs
    assert [(spec.dtype, spec.dims) for spec in outputs] == [
        ("int64", (1, 1)), ("float32", ()), ("bool", (1, 8)), ("float32", (1, 8)),
    ]  # fmt: skip
    assert measured["detector", "ort"].artifact.outputs[0].dims == ("40?", "3?")


def test_a_file_in_double_is_not_called_fp32(measured):
    assert measured["float64", "ort"].reply.effective["precision"] == "fp64"
    assert measured["float64", "openvino"].remarks["computed-otherwise"] == "the file is in fp64; this runtime computes in fp32"


def test_a_quantised_file_is_int8(looked_at):
    assert looked_at["quantised"].precision == "int8"


def test_the_first_axis_of_an_image_without_batch_is_no_batch(looked_at):
    assert looked_at["image_without_batch"].inputs[0].dims == (3, 16, 16)
    assert looked_at["anonymous_batch"].inputs[0].dims == (BATCH, 3, 16, 16)


@pytest.mark.parametrize("name", REFUSED_BY_ALL)
def test_outputs_that_are_no_numbers_are_refused(folder, name):
    with pytest.raises(UsageError, match=r"output 'y' of .* is a (tensor of string|sequence of float32); mnbench measures"):
        look(saved(BACKENDS_REFUSE[name](), folder / f"{name}.onnx"))


@pytest.mark.parametrize("make", [odd_models.strings, odd_models.sequence])
def test_inputs_that_are_no_numbers_are_refused(folder, make):
    with pytest.raises(UsageError, match=r"input 'x' of .* is a (tensor of string|sequence of float32); mnbench fills"):
        look(saved(make(), folder / f"takes_{make.__name__}.onnx"))


def test_an_input_out_of_range_is_no_result_of_any_runtime(folder):
    """OpenVINO puts out zeros there, without an error."""
    (model,) = look(saved(odd_models.index(), folder / "far.onnx"))
    np.savez(folder / "far.npz", ids=np.full((1, 16), 100_000))
    cases = cases_of([model])
    plan = a_plan(*cases, models=(model,), data=data_file(folder / "far.npz"))
    wanted = [(spec_of(cases[0], plan), Format.ONNX), (spec_of(cases[1], plan), Format.OPENVINO_IR)]
    exports = ensure_each(wanted, folder / "cache")
    assert not exports.made
    assert all("at the operator Gather: indices element out of data bounds" in reason for reason in exports.failed.values())


def test_a_batch_that_is_1_inside_fails_at_the_node_that_says_so(folder):
    models = look(saved(odd_models.lying_batch(), folder / "lying.onnx"))
    found = outcomes(models, folder / "cache", batch=2)
    for backend in RUNTIMES:
        assert (
            "fails inside the model, at Reshape 'flatten': The input tensor cannot be reshaped"
            in found["lying", backend].failed
        )


def test_boxes_without_a_limit_harm_no_other_model(folder):
    models = look(
        saved(odd_models.detector(most=-1), folder / "all_boxes.onnx"), saved(odd_models.convolution(), folder / "next.onnx")
    )
    found = {name: outcomes([model], folder / "cache")[name, "openvino"] for model in models for name in [model.id]}
    assert not found["next"].failed


# Files: where they lie, what they are called, and what lies beside them.


def test_files_of_one_name_are_two_models(folder):
    one, other = look(
        saved(odd_models.convolution(), folder / "one" / "same.onnx"),
        saved(odd_models.product(), folder / "other" / "same.onnx"),
    )
    assert one.id != other.id
    assert {one.id[:5], other.id[:5]} == {"same_"}


def test_a_copy_of_a_file_is_another_model_and_a_file_named_twice_is_one(folder):
    path = saved(odd_models.convolution(), folder / "one" / "twice.onnx")
    (folder / "copy").mkdir()
    shutil.copy(path, folder / "copy" / "twice.onnx")
    assert len(look(path, path)) == 1
    assert len({model.id for model in look(path, folder / "copy" / "twice.onnx")}) == 2


@pytest.fixture(scope="module")
def places(folder):
    """Files in odd places, brought to both runtimes at once."""
    home = folder / "mit Leerzeichen" / "日本語 🙂"
    outside = saved_outside(odd_models.convolution(), home / "beside.onnx", "weights of it.bin")
    renamed = outside.rename(home / "renamed модель.onnx")
    link = folder / "link.onnx"
    link.symlink_to(saved(odd_models.convolution(), home / "target.onnx"))
    models = look(renamed, link, saved(odd_models.product(), home / "a:b = 1%.onnx"))
    return models, outcomes(models, folder / "cache")


def test_paths_of_any_alphabet_links_and_renamed_files_are_measured(places):
    models, found = places
    assert [model.id for model in models] == ["renamed_модель", "link", "a_b_1"]
    assert not [outcome.failed for outcome in found.values() if outcome.failed]


def test_external_data_belong_to_what_is_known_of_a_file(folder):
    path = saved_outside(odd_models.convolution(), folder / "known" / "m.onnx", "m.bin")
    (before,) = look(path)
    data = bytearray((path.parent / "m.bin").read_bytes())
    data[0] ^= 1
    (path.parent / "m.bin").write_bytes(data)
    (after,) = look(path)
    assert before.source.sha256 != after.source.sha256


@pytest.mark.parametrize("what", ["missing", "pointer", "short", "above"])
def test_external_data_that_cannot_be_used_are_named(folder, what):
    path = saved_outside(odd_models.convolution(), folder / what / "m.onnx", "weights of it.bin")
    data = path.parent / "weights of it.bin"
    words = {
        "missing": r"'weights of it\.bin' .* is missing: it belongs into the folder",
        "pointer": "run git lfs pull",
        "short": "has 10 bytes, and the weight 'w' ends at byte 432",
        "above": "lies outside of its folder: this is refused",
    }
    if what == "missing":
        data.unlink()
    elif what == "pointer":
        data.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif what == "short":
        data.write_bytes(bytes(10))
    else:
        path.write_bytes(path.read_bytes().replace(b"weights of it.bin", b"../eights of .bin"))
    with pytest.raises(ModelFileError, match=words[what]):
        look(path)


# OpenVINO's own files.

AS_IR = (
    "dyn_batch",
    "detector",
    "several_outputs",
    "image_and_shape",
    "quantised",
    "takes_int64",
    "takes_bool",
    "branch",
    "no_input",
)


@pytest.fixture(scope="module")
def as_ir(folder, looked_at):
    paths = []
    for name in AS_IR:
        paths.append(folder / f"ir_{name}.xml")
        ov.save_model(ov.Core().read_model(folder / f"{name}.onnx"), paths[-1])  # it stores weights in float16, as most IRs do
    return outcomes(look(*paths), folder / "cache")


@pytest.mark.parametrize("name", AS_IR)
def test_an_ir_of_it_runs_in_openvino_and_is_refused_elsewhere(as_ir, name):
    assert not as_ir[f"ir_{name}", "openvino"].failed
    assert "outputs-differ" not in as_ir[f"ir_{name}", "openvino"].remarks
    assert as_ir[f"ir_{name}", "ort"].failed == f"ir_{name} is given as OpenVINO IR, which cannot be converted to ONNX."


def test_weights_in_float16_are_reported_and_a_kernel_for_float32_is_called_so(as_ir, folder):
    (model,) = look(folder / "ir_dyn_batch.xml")
    (remark,) = [remark for remark in model.remarks if remark.code == "half-precision-file"]
    assert "108 of its 108 weights are stored as float16" in remark.observed
    assert as_ir["ir_dyn_batch", "openvino"].reply.effective["precision"] == "fp32"


@pytest.mark.parametrize(
    ("stated", "kernel", "precision"),
    [
        ("f16", "brgconv_avx512_f32", "f32"),
        ("f16", "brgconv_avx512_core_fp16_f16", "f16"),
        ("bf16", "brgconv_avx512_amx_bf16", "bf16"),
        ("i8", "brgconv_avx512_vnni_i8", "i8"),
        ("f32", "brgconv_avx512_f32", "f32"),
    ],
)
def test_the_precision_of_a_layer_is_that_of_its_kernel(stated, kernel, precision):
    assert _kernel_precision(stated, kernel) == precision
