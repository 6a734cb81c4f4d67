"""Measuring: child processes, the timed region, the order of turns. The only package that reads a clock.

Imports nothing: every worker imports this package, and what the parent needs (statistics above all) would take a worker longer
to import than its interpreter to start.
"""
