"""Arithmetic on samples: pure functions, no torch, no files, no clock."""

from mnbench.stats.analysis import analyse

__all__ = ["analyse"]
