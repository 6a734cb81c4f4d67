"""Which backends are measured where the user names none, and what is said of those that are missing."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from mnbench import backends, sources
from mnbench.cli import main, requests
from mnbench.cli.arguments import parser
from mnbench.errors import MissingPackageError
from mnbench.records import Case


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modules that are as if not installed: a test adds their names."""
    names: set[str] = set()
    find = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in names else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return names


def chosen(*arguments: str) -> tuple[tuple[str, ...], str]:
    return requests.backends_of(parser(main.COMMANDS).parse_args(arguments))


@pytest.mark.parametrize("command", ["compare", "selftest", "study"])
def test_both_default_backends_are_measured_where_both_are_installed(command: str) -> None:
    assert chosen(command) == (("ort", "openvino"), "")


@pytest.mark.parametrize("command", ["compare", "selftest", "study"])
def test_a_default_backend_that_is_missing_is_left_out_and_named(missing: set[str], command: str) -> None:
    missing.add("openvino")
    names, note = chosen(command)
    assert names == ("ort",)
    assert note == "backend 'openvino' needs the package openvino: pip install 'mnbench[openvino]'. Measuring with ort."


def test_a_backend_that_was_named_is_kept_and_refused_when_it_is_missing(missing: set[str]) -> None:
    missing.add("openvino")
    assert chosen("compare", "--backends", "ort", "openvino", "ort") == (("ort", "openvino"), "")
    with pytest.raises(MissingPackageError, match=r"mnbench\[openvino\]"):
        backends.require("openvino", "fp32")


def test_without_any_of_the_default_backends_there_is_nothing_to_measure_with(missing: set[str]) -> None:
    missing.update(("openvino", "onnxruntime"))
    with pytest.raises(MissingPackageError, match=r"onnxruntime: pip install onnxruntime\. .*mnbench\[openvino\]"):
        chosen("compare")


def test_environments_have_runtimes_of_their_own(missing: set[str]) -> None:
    missing.add("openvino")
    assert chosen("compare", "--env", "OLD=a", "--env", "NEW=b") == (("ort", "openvino"), "")


def test_a_network_of_pytorchcv_without_pytorchcv_is_refused_by_name_and_others_are_not(missing: set[str]) -> None:
    missing.add("pytorchcv")
    with pytest.raises(MissingPackageError, match=r"^nasnet_a_mobile_224 needs the package pytorchcv: .*mnbench\[zoo\]"):
        sources.resolve(["mobilenet_v1_0.25_128", "nasnet_a_mobile_224"])
    assert len(sources.resolve(["mobilenet_v1_0.25_128"])) == 1


def test_a_plan_of_another_host_is_refused_where_a_model_of_it_cannot_be_built(missing: set[str]) -> None:
    models = sources.resolve(["nasnet_a_mobile_224"])
    missing.add("pytorchcv")
    with pytest.raises(MissingPackageError, match=r"^nasnet_a_mobile_224 needs the package pytorchcv"):
        sources.of_cases((), models)


def test_a_plan_that_names_networks_of_the_catalog_is_refused_without_torch(missing: set[str]) -> None:
    missing.add("torch")
    with pytest.raises(MissingPackageError, match=r"mnbench\[all\]"):
        sources.of_cases([Case(model="mobilenet_v1_0.25_128", backend="ort")], ())
