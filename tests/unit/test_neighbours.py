"""Which programs used the CPUs over a time, from made-up /proc files and from a real one."""

from __future__ import annotations

import subprocess
import sys

from mnbench.environment import neighbours

TICKS = 100
MIB = 1 << 20


def made_up(root, uptime_s, **processes):
    """Write /proc of processes {name: (number, started, user ticks, system ticks, resident MiB)}."""
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/uptime").write_text(f"{uptime_s:.2f} 1.00\n")
    for name, (number, started, user, system, mib) in processes.items():
        folder = root / "proc" / str(number)
        folder.mkdir(exist_ok=True)
        fields = ["S", *["0"] * 10, str(user), str(system), *["0"] * 6, str(started), "0"]
        (folder / "stat").write_text(f"{number} ({name} (x) y) {' '.join(fields)}\n")
        (folder / "comm").write_text(f"{name}\n")
        (folder / "status").write_text(f"Name: {name}\nVmRSS:\t{mib * 1024} kB\n")
    return root


def test_programs_are_told_by_what_they_used_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "_TICKS_PER_S", TICKS)
    before = neighbours.snapshot(
        made_up(tmp_path, 100.0, busy=(901, 5, 1000, 0, 40), idle=(902, 5, 9000, 0, 900), old=(903, 5, 1, 0, 9))
    )
    made_up(
        tmp_path,
        110.0,
        busy=(901, 5, 1600, 200, 80),
        idle=(902, 5, 9010, 0, 900),
        old=(903, 77, 5000, 0, 9),
        new=(904, 60, 900, 0, 1),
    )
    found = neighbours.since(before, tmp_path)
    assert [(n.name, n.busy_cpus, n.resident_bytes) for n in found] == [("busy", 0.8, 80 * MIB)]


def test_what_is_not_told_is_unknown(tmp_path):
    assert neighbours.snapshot(tmp_path) is None
    assert neighbours.since(None, tmp_path) is None
    root = made_up(tmp_path, 100.0, odd=(901, 5, 1, 1, 1))
    (root / "proc/901/stat").write_text("901 (odd) S 1\n")
    assert neighbours.snapshot(root).ticks == {}
    (root / "proc/uptime").write_text("garbage\n")
    assert neighbours.snapshot(root) is None


def test_a_real_busy_program_is_found_and_this_process_is_none():
    code = "while True: pass"
    program = subprocess.Popen([sys.executable, "-c", code])
    try:
        before = neighbours.snapshot()
        while (found := neighbours.since(before)) is None or not any(n.busy_cpus > 0.2 for n in found):
            pass
        assert before is not None
    finally:
        program.kill()
        program.wait()
