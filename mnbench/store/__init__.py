"""Run directories: raw results written the moment they exist (`writer`), and read back whole (`reader`)."""

from __future__ import annotations

from mnbench.store.lock import LOCK_FILE, writer_of, writing
from mnbench.store.reader import LAUNCHES_FILE, ROUNDS_FILE, RUN_FILE, SAMPLE_COLUMNS, SAMPLES_FILE, load
from mnbench.store.writer import (
    NEEDED_BYTES,
    RunSummary,
    RunWriter,
    create_directory,
    describe,
    new_directory,
    resolve,
    run_directories,
)

__all__ = [
    "LAUNCHES_FILE", "LOCK_FILE", "NEEDED_BYTES", "ROUNDS_FILE", "RUN_FILE", "SAMPLES_FILE", "SAMPLE_COLUMNS", "RunSummary",
    "RunWriter", "create_directory", "describe", "load", "new_directory", "resolve", "run_directories", "writer_of", "writing",
]  # fmt: skip
