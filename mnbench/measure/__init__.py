"""Measuring: child processes, the timed region, the order of turns. The only package that reads a clock."""

from mnbench.measure.conduct import Already, Progress, Sink, conduct

__all__ = ["Already", "Progress", "Sink", "conduct"]
