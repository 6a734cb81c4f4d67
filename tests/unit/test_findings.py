"""Each finding is caused by its fact, and a quiet host gives none."""

import os

import msgspec
import pytest

from mnbench import environment
from mnbench.environment.host import STEERING_PREFIXES
from mnbench.records import Environment, Severity
from mnbench.report import host as view
from tests.conftest import an_environment


def found(**facts):
    return {finding.code: finding.severity for finding in environment.findings(an_environment(**facts))}


def test_a_healthy_host_has_no_findings():
    healthy = {
        "governor": "performance", "turbo": False, "cores": ((0,), (1,)), "clock_source": "tsc",
        "transparent_hugepages": "madvise", "memory_available_bytes": 1 << 33, "swap_total_bytes": 1 << 30,
        "randomize_va_space": 2, "addresses_fixed": False,
        "swap_used_bytes": 0, "load_average_1min": 0.1, "cpu_pressure_pct": 0.1, "steal_now_pct": 0.0, "busy_cpus_now": 0.02,
    }  # fmt: skip
    assert found(**healthy) == {}
    assert view.summary(()) == "ok: nothing seen that spoils measuring."


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        ({"governor": "powersave"}, "governor", Severity.WARNING),
        ({"turbo": True}, "turbo", Severity.NOTE),
        ({"cores": ((0, 1),)}, "smt", Severity.NOTE),
        ({"isa": ("avx2", "amx_bf16")}, "bf16", Severity.NOTE),
        ({"isa": ("avx",)}, "old-isa", Severity.NOTE),
        ({"cgroup_quota_cpus": 1.5}, "cgroup-quota", Severity.WARNING),
        ({"cgroup_quota_cpus": 2.0}, "cgroup-quota", Severity.NOTE),
        ({"affinity": (1,)}, "one-cpu", Severity.WARNING),
        ({"affinity": (0, 1), "logical_cpus": 8}, "affinity", Severity.NOTE),
        ({"virtualisation": "hypervisor"}, "virtual-machine", Severity.NOTE),
        ({"steal_now_pct": 2.1}, "steal", Severity.WARNING),
        ({"steal_now_pct": 0.0, "steal_since_boot_pct": 5.0}, "steal", Severity.NOTE),
        ({"busy_cpus_now": 0.1}, "foreign-load", Severity.NOTE),
        ({"busy_cpus_now": 0.25}, "foreign-load", Severity.WARNING),
        ({"load_average_1min": 0.5}, "load-average", Severity.NOTE),
        ({"cpu_pressure_pct": 5.0}, "cpu-pressure", Severity.WARNING),
        ({"memory_available_bytes": (1 << 30) - 1}, "memory", Severity.WARNING),
        ({"memory_pressure_pct": 5.0}, "memory-pressure", Severity.WARNING),
        ({"swap_total_bytes": 2 << 30, "swap_used_bytes": 1 << 20}, "swap", Severity.NOTE),
        ({"clock_source": "hpet"}, "clock-source", Severity.WARNING),
        ({"transparent_hugepages": "always"}, "huge-pages", Severity.NOTE),
        ({"randomize_va_space": 0, "addresses_fixed": False}, "fixed-addresses", Severity.WARNING),
        ({"randomize_va_space": 2, "addresses_fixed": True}, "fixed-addresses", Severity.WARNING),
        ({"randomize_va_space": 0}, "fixed-addresses", Severity.WARNING),
    ],
)
def test_a_fact_that_spoils_figures_is_found(facts, code, severity):
    assert found(**facts) == {code: severity}


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("ONEDNN_MAX_CPU_ISA", "limits the instruction set"),
        ("DNNL_MAX_CPU_ISA", "limits the instruction set"),
        ("DNNL_DEFAULT_FPMATH_MODE", "lower precision"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "lower precision"),
        ("OMP_NUM_THREADS", "threads"),
        ("KMP_BLOCKTIME", "threads"),
        ("GOMP_CPU_AFFINITY", "threads"),
        ("MKL_NUM_THREADS", "threads"),
        ("ORT_ANY", "threads, ISA or precision"),
        ("OV_ANY", "threads, ISA or precision"),
        ("LD_PRELOAD", "memory"),
    ],
)
def test_a_variable_that_steers_a_runtime_is_found_with_its_effect(monkeypatch, tmp_path, name, effect):
    for known in list(os.environ):
        if known.startswith(STEERING_PREFIXES):
            monkeypatch.delenv(known)
    monkeypatch.setenv(name, "x")
    warned = environment.warnings_of(environment.findings(environment.capture(root=tmp_path)))
    about = [finding for finding in warned if finding.code == "environment-variable"]
    assert [finding.subject for finding in about] == [name]
    assert effect in about[0].observed


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, view.UNKNOWN),
        ({"randomize_va_space": 2}, view.UNKNOWN),  # this process may have switched it off
        ({"addresses_fixed": False}, view.UNKNOWN),
        ({"randomize_va_space": 2, "addresses_fixed": False}, "drawn for each process"),
        ({"randomize_va_space": 1, "addresses_fixed": False}, "drawn for each process, but not the heap's"),
        ({"randomize_va_space": 2, "addresses_fixed": True}, "the same in every process"),
        ({"randomize_va_space": 0}, "the same in every process"),
    ],
)
def test_doctor_shows_whether_addresses_are_drawn_and_calls_unknown_unknown(facts, text):
    assert dict(view.facts(an_environment(**facts)))["addresses"] == text


def test_warnings_stand_before_notes_and_only_they_are_kept_with_a_run():
    everything = environment.findings(an_environment(turbo=True, governor="powersave"))
    assert [finding.code for finding in everything] == ["governor", "turbo"]
    assert [finding.code for finding in environment.warnings_of(everything)] == ["governor"]
    assert view.summary(everything) == "1 warning, 1 note; no other problems were found."


def test_an_environment_stored_before_these_facts_existed_is_read_and_gives_no_finding():
    new = msgspec.to_builtins(an_environment())
    first = ("cpu_model", "isa", "logical_cpus", "physical_cores", "affinity", "cpu_budget", "cpu_budget_reason",
             "memory_bytes", "virtualisation", "governor", "kernel", "python", "packages", "variables")  # fmt: skip
    old = msgspec.convert({name: new[name] for name in first}, type=Environment)
    assert environment.findings(old) == ()
    assert dict(view.facts(old))["turbo"] == view.UNKNOWN


def test_every_fact_of_this_host_can_be_shown():
    seen = environment.capture()
    assert all(name and value for name, value in view.facts(seen))
