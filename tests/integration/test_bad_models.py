"""Models that cannot be measured, as a user types them: one sentence and exit code 2, or a failed case beside the others."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mnbench import environment, store
from mnbench.cli.main import main
from mnbench.commands.compare import Request, plan, spec_of
from mnbench.errors import WorkerError
from mnbench.export import ensure_all, ensure_each
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest
from mnbench.records import Format
from mnbench.stats.analysis import analyse
from tests import odd_models
from tests.conftest import a_launch, a_plan, a_round, a_run
from tests.integration.command import environment as variables
from tests.integration.command import mnbench
from tests.odd_models import saved
from tests.opened import cases_of, look

CATALOG_NAME = "mobilenet_v2_1.0_224"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(folder, capsys):
    """Run a command that has to be refused before anything is made; return its one sentence."""

    def run(*arguments):
        assert main(["compare", *map(str, arguments)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("mnbench: ")
        assert len(printed.err.strip().splitlines()) == 1
        assert sorted(path.name for path in folder.iterdir() if path.name in ("results", "models")) == []
        return printed.err.removeprefix("mnbench: ").strip()

    return run


FILES = {
    "missing": (None, "does not exist."),
    "empty": (b"", "is empty."),
    "text": (b"hello world\n" * 9, "is no complete"),
    "page": (b"<!DOCTYPE html>\n<html>404", "is an HTML page: the download got a web page in place of the model, not "),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a git-lfs pointer: run git lfs pull"),
    "zip": (b"PK\x03\x04" + bytes(40), "is a zip archive, not "),
}


@pytest.mark.parametrize("ending", ["onnx", "xml"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_model_is_refused(refused, folder, name, ending):
    data, words = FILES[name]
    if data is not None:
        (folder / f"{name}.{ending}").write_bytes(data)
    assert words in refused("--models", f"{name}.{ending}")


@pytest.mark.parametrize("ending", ["onnx", "xml", "pt2"])
@pytest.mark.parametrize(("make", "words"), [("mkdir", "is a folder;"), ("mkfifo", "is a FIFO (named pipe);")])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(refused, ending, make, words):
    getattr(os, make)(f"odd.{ending}")
    assert words in refused("--models", f"odd.{ending}")


def test_a_model_cut_in_half_is_refused(refused, folder):
    data = saved(odd_models.huge_logits(), folder / "m.onnx").read_bytes()
    (folder / "m.onnx").write_bytes(data[: len(data) // 2])
    assert refused("--models", "m.onnx").startswith("the model file 'm.onnx' is no complete ONNX file: it is cut off")


def test_a_file_that_may_not_be_read_is_refused(refused, folder, monkeypatch):
    saved(odd_models.convolution(), folder / "m.onnx")
    opening = os.open

    def denied(path, *arguments, **more):
        if str(path).endswith("m.onnx"):
            raise PermissionError(13, "Permission denied", str(path))
        return opening(path, *arguments, **more)

    monkeypatch.setattr(os, "open", denied)
    assert refused("--models", "m.onnx") == "the model file 'm.onnx' cannot be read: Permission denied."


def test_a_name_that_is_a_network_and_a_file_is_refused_with_both_spellings(refused, folder):
    (folder / CATALOG_NAME).write_bytes(b"x")
    sentence = refused("--models", CATALOG_NAME)
    assert f"write catalog:{CATALOG_NAME}, or ./{CATALOG_NAME}" in sentence


SHAPES = {
    "another name": (("--shape", "q=1,3,16,16"), "--shape names the input 'q', which no model has. Inputs: x."),
    "another size": (("--shape", "x=1,3,17,16"), "--shape gives axis 2 of input 'x' of m.onnx 17; the file fixes 16."),
    "too few axes": (("--shape", "x=1,3"), "--shape gives input 'x' of m.onnx 2 axes; it has 4."),
    "twice": (("--shape", "x=1,3,16,16", "--shape", "x=1,3,16,16"), "--shape names the input 'x' twice."),
    "no sizes": (("--shape", "x"), "--shape 'x' is not NAME=SIZES, for example --shape images=1,3,640,640"),
    "a zero": (("--shape", "x=0,3,16,16"), "--shape 'x=0,3,16,16' is not NAME=SIZES"),
    "a batch": (("--batch", "2"), "the batch of m.onnx is fixed at 1: --batch 2 cannot be measured."),
    "a baseline": (("--baseline", "other.onnx"), "the baseline 'other.onnx' is not among the models to measure: m."),
}


@pytest.mark.parametrize("name", SHAPES)
def test_options_that_do_not_fit_a_file_are_refused(refused, folder, name):
    saved(odd_models.convolution(), folder / "m.onnx")
    arguments, words = SHAPES[name]
    assert words in refused("--models", "m.onnx", *arguments)


def test_open_axes_are_listed_with_the_option_that_gives_them(refused, folder):
    saved(odd_models.convolution(("N", 3, "H", None), ("N", 4, "H", None)), folder / "m.onnx")
    assert refused("--models", "m.onnx") == (
        "m.onnx has open axes: axis 2 of input 'x' (H); axis 3 of input 'x'. Give their sizes, for example --shape x=1,3,64,64"
    )


def test_a_fixed_batch_is_measured_as_it_is_and_no_other(refused, folder):
    saved(odd_models.convolution((8, 3, 16, 16), (8, 4, 16, 16)), folder / "m.onnx")
    for backend in ("ort", "openvino"):
        words = "the batch of m.onnx is fixed at 8: --batch 1 cannot be measured."
        assert refused("--models", "m.onnx", "--backends", backend) == words


DATA = {
    "another name": ({"q": np.zeros((1, 3, 16, 16), np.float32)}, "has an array 'q'; the inputs are x."),
    "another type": ({"x": np.zeros((1, 3, 16, 16))}, "gives 'x' as float64; it is float32."),
    "another size": ({"x": np.zeros((1, 3, 8, 16), np.float32)}, "gives 'x' the shape [1, 3, 8, 16]; it is [1, 3, 16, 16]."),
    "objects": ({"x": np.array([{}], object)}, "is no file that numpy.save or numpy.savez wrote, is damaged, or holds"),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_no_model_can_take_are_refused_before_anything_is_made(refused, folder, name):
    saved(odd_models.convolution(), folder / "m.onnx")
    arrays, words = DATA[name]
    np.savez(folder / "data.npz", **arrays)
    assert words in refused("--models", "m.onnx", "--input", "data.npz")


@pytest.mark.parametrize("name", ["cut.npz", "empty.npy", "text.npz", "absent.npy", "m.onnx", "."])
def test_a_file_that_holds_no_data_is_refused(refused, folder, name):
    saved(odd_models.convolution(), folder / "m.onnx")
    np.savez(folder / "whole.npz", x=np.zeros((1, 3, 16, 16), np.float32))
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes()[:700])
    (folder / "empty.npy").write_bytes(b"")
    (folder / "text.npz").write_bytes(b"hello")
    sentence = refused("--models", "m.onnx", "--input", name)
    assert sentence.startswith(f"--input {name} is no")


def test_data_that_fit_one_of_two_models_fail_the_other_alone(folder):
    models = look(saved(odd_models.convolution(), folder / "a.onnx"), saved(odd_models.product(), folder / "b.onnx"))
    np.savez(folder / "data.npz", x=np.zeros((1, 8), np.float32))
    made = plan(Request(models=("a.onnx", "b.onnx"), data=folder / "data.npz", backends=("ort",)))
    specs = [(spec_of(case, made), Format.ONNX) for case in made.cases if case.backend == "ort"]
    exports = ensure_each(specs, folder / "cache")
    assert [spec.model for spec, _ in exports.made] == [models[1].id]
    assert [spec.model for spec, _ in exports.failed] == [models[0].id]


@pytest.mark.parametrize("text", ["./m.onnx", "sub/../m.onnx", "link.onnx"])
def test_a_baseline_may_be_named_by_another_path_to_its_file(folder, text):
    saved(odd_models.convolution(), folder / "m.onnx")
    (folder / "sub").mkdir()
    (folder / "link.onnx").symlink_to("m.onnx")
    saved(odd_models.product(), folder / "other.onnx")
    request = Request(models=("other.onnx", "m.onnx"), baseline=text, backends=("ort",))
    assert plan(request).baseline == "m"
    assert plan(replace(request, baseline=str(folder / "m.onnx"))).baseline == "m"


def test_each_batch_and_number_of_threads_makes_a_case_with_a_baseline_of_its_own(folder):
    if environment.cpu_budget()[0] < 2:
        pytest.skip("needs two cores")
    for name in "ab":
        saved(odd_models.convolution(("N", 3, 16, 16), ("N", 4, 16, 16)), folder / f"{name}.onnx")
    made = plan(Request(models=("a.onnx", "b.onnx"), backends=("ort",), batches=(1, 8), threads=(1, 2), baseline="b.onnx"))
    cases = [case for case in made.cases if case.backend == "ort"]
    assert [(case.threads, case.batch, case.model) for case in cases] == [
        (threads, batch, model) for threads in (1, 2) for batch in (1, 8) for model in "ab"
    ]
    assert len(made.cpus) == 2
    run = a_run(made, *(a_launch(case, n, a_round([1000, 1000, 1000])) for case in cases for n in range(4)))
    for result in analyse(run).results:
        if result.case.model == "a":
            base = result.vs_baseline.baseline
            assert (base.model, base.threads, base.batch) == ("b", result.case.threads, result.case.batch)


def test_a_worker_is_pinned_to_as_many_cpus_as_its_case_has_threads(folder):
    if environment.cpu_budget()[0] < 2:
        pytest.skip("needs two cores")
    saved(odd_models.convolution(("N", 3, 16, 16), ("N", 4, 16, 16)), folder / "m.onnx")
    done = mnbench("compare", "--models", "m.onnx", "--backends", "ort", "--threads", 1, 2, "--batch", 1, 8, "--budget", 20,
                   "--launches", 3, "--regimes", "steady", "--quiet", cwd=folder)  # fmt: skip
    assert done.stderr == ""
    run = store.load(folder / done.stdout.strip())
    seen = {(s.case.batch, s.case.threads): len(s.effective["affinity"].split(",")) for s in run.samples if s.case.model == "m"}
    assert seen == {(1, 1): 1, (8, 1): 1, (1, 2): 2, (8, 2): 2}


# Models that take too long, or more memory than there is.


def test_an_endless_inference_is_given_up_while_it_is_prepared(folder):
    models = look(
        saved(odd_models.loop(odd_models.FOREVER), folder / "forever.onnx"), saved(odd_models.loop(3), folder / "m.onnx")
    )
    cases = cases_of(models)
    plan = a_plan(*cases, models=models)
    kinds = {"ort": Format.ONNX, "openvino": Format.OPENVINO_IR}
    exports = ensure_each([(spec_of(case, plan), kinds[case.backend]) for case in cases], folder / "cache", timeout_s=5.0)
    assert {spec.model for spec, _ in exports.made} == {"m"}
    assert len(exports.failed) == 2
    assert all(reason.startswith("one inference takes more than 5 s") for reason in exports.failed.values())


def test_an_endless_inference_is_given_up_in_the_worker(folder):
    forever = saved(odd_models.loop(odd_models.FOREVER), folder / "forever.onnx")
    (model,) = look(saved(odd_models.loop(3), folder / "m.onnx"))
    (case,) = cases_of([model], ["ort"])
    wanted = (spec_of(case, a_plan(case, models=(model,))), Format.ONNX)
    artifact = replace(ensure_all([wanted], folder / "cache")[wanted], path=str(forever))
    worker = Worker(case, folder / "log")
    try:
        worker.wait_until_started(20.0)
        with pytest.raises(WorkerError, match=r"opening the model and one inference take more than 2 s: the worker was still"):
            worker.open(OpenRequest(case=case, artifact=artifact, cache=str(folder / "cache"), cpus=(0,)), 2.0)
    finally:
        worker.close()


def test_a_tensor_larger_than_the_memory_fails_with_the_operator_that_makes_it(folder):
    """A terabyte, which the kernel refuses at once."""
    from onnx import helper as h

    nodes = [h.make_node("Expand", ["x", "shape"], ["big"]), h.make_node("ReduceSum", ["big"], ["y"], keepdims=0)]
    made = odd_models.model(nodes, [odd_models.value("x", (1, 1))], [odd_models.value("y", ())],
                            [odd_models.constant("shape", [1 << 18, 1 << 20])])  # fmt: skip
    (model,) = look(saved(made, folder / "m.onnx"))
    (case,) = cases_of([model], ["ort"])
    wanted = (spec_of(case, a_plan(case, models=(model,))), Format.ONNX)
    (reason,) = ensure_each([wanted], folder / "cache").failed.values()
    assert (
        "fails inside the model, at the operator Expand: Failed to allocate memory for requested buffer of size 1099511627776"
        in reason
    )
    assert "onnxruntime_src" not in reason


def test_a_model_larger_than_the_memory_is_refused_with_a_sentence(folder):
    """The limit is one of the address space, in which the file of 400 MB would lie twice: mapped, and parsed."""
    made = odd_models.model([], [], [odd_models.value("w", (100_000_000,))])
    tensor = made.graph.initializer.add(name="w", data_type=1, dims=[100_000_000])
    tensor.raw_data = bytes(400_000_000)
    saved(made, folder / "m.onnx")

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (760 << 20, 760 << 20))

    done = subprocess.run(
        [sys.executable, "-m", "mnbench", "compare", "--models", "m.onnx"],
        capture_output=True, text=True, check=False, cwd=folder, preexec_fn=limited, timeout=60,
        env=variables(OPENBLAS_NUM_THREADS=1),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, "mnbench: the model 'm.onnx' needs more memory than there is, to be read alone.\n",
    )  # fmt: skip
