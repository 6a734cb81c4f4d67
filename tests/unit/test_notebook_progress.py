"""In a notebook the progress is one line under the cell, drawn anew and taken away."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from mnbench.report import progress


class Handle:
    def __init__(self, first):
        self.shown = [first["text/plain"]]

    def update(self, data, *, raw):
        assert raw
        self.shown.append(data["text/plain"])


@pytest.fixture
def handle(monkeypatch):
    handles = []
    display = ModuleType("IPython.display")
    display.display = lambda data, *, raw, display_id: handles.append(Handle(data)) or handles[-1]
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return handles


def test_one_line_is_drawn_anew_and_taken_away(handle):
    with progress.listener(quiet=False) as view:
        view.exporting(["a", "b"])
        view.measuring(SimpleNamespace(elapsed_s=5.0, left_s=15.0, wave=1, waves=4, what="a in ort"))
    (shown,) = handle
    assert shown.shown[1].endswith(" checking and exporting 2 models")
    assert shown.shown[2] == f"{'█' * 6}{'░' * 18} wave 1/4: a in ort, 15 s left"
    assert shown.shown[-1] == ""


def test_quiet_shows_nothing_in_a_notebook_either(handle):
    with progress.listener(quiet=True) as view:
        view.exporting(["a"])
    assert handle == []
