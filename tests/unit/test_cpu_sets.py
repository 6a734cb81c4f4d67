"""Waves take in turn only CPUs that are alike and idle, and only where there are enough."""

import os

import pytest

from mnbench.environment import cpu_sets


class Host:
    """A made-up host of `cores` cores with `siblings` CPUs each, numbered core by core; four CPUs share a last-level cache."""

    def __init__(self, root, monkeypatch, cores, siblings=1):
        self.root, self.cpus = root, range(cores * siblings)
        for cpu in self.cpus:
            core = cpu // siblings
            self.write(cpu, "topology/physical_package_id", "0")
            self.write(cpu, "topology/core_id", str(core))
            self.write(cpu, "topology/thread_siblings_list", f"{core * siblings}-{core * siblings + siblings - 1}")
            self.write(cpu, "cache/index3/shared_cpu_list", f"{cpu // 4 * 4}-{cpu // 4 * 4 + 3}")
            self.write(cpu, "cpufreq/cpuinfo_max_freq", "3000000")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(self.cpus))
        self.ticks(dict.fromkeys(self.cpus, (0, 0)))

    def write(self, cpu, name, text):
        path = self.root / f"sys/devices/system/cpu/cpu{cpu}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def ticks(self, counts):
        lines = [f"cpu{cpu} {busy} 0 0 {idle} 0 0 0 0 0 0" for cpu, (busy, idle) in counts.items()]
        (self.root / "proc").mkdir(exist_ok=True)
        (self.root / "proc/stat").write_text("\n".join(["cpu 0 0 0 0 0 0 0 0", *lines, "ctxt 1"]) + "\n")

    def sets(self, *cpus, busy=()):
        """Return what is found for a plan on `cpus` while others keep `busy` busy for half of the time."""

        def pause():
            self.ticks({cpu: (25, 25) if cpu in busy else (1, 49) for cpu in self.cpus})

        return cpu_sets(cpus, pause, self.root)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return lambda cores, siblings=1: Host(tmp_path, monkeypatch, cores, siblings)


def test_waves_take_four_cores_in_turn_and_never_that_of_cpu_0(host):
    assert host(8).sets(7) == ((7,), (6,), (5,), (4,))


def test_where_three_are_to_be_had_two_are_taken_because_files_go_round_by_threes(host):
    assert host(4).sets(3) == ((3,), (2,))


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_with_fewer_than_four_cores_the_plans_cpus_are_all(host, cores):
    assert host(cores).sets(cores - 1) == ()


def test_siblings_of_one_core_are_one_core(host):
    assert host(4, siblings=2).sets(6) == ((6,), (4,))
    assert host(2, siblings=2).sets(2) == ()


def test_a_core_that_is_busy_or_has_a_busy_sibling_is_left_out(host):
    assert host(8).sets(7, busy=(6,)) == ((7,), (5,), (4,), (3,))
    assert host(6, siblings=2).sets(10, busy=(9,)) == ((10,), (6,), (4,), (2,))


def test_a_core_of_another_kind_is_left_out(host):
    here = host(8)
    here.write(6, "cpufreq/cpuinfo_max_freq", "2000000")
    here.write(5, "cpu_capacity", "512")
    assert here.sets(7) == ((7,), (4,), (3,), (2,))


def test_cores_that_share_less_cache_than_the_plans_are_left_out(host):
    assert host(9).sets(6, 7) == ((6, 7), (1, 2))  # 8 and 5 would not share a cache, 3 and 4 do not
