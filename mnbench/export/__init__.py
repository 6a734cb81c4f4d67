"""From what a source gives to the files that runtimes open, each with its feed, kept in a content-addressed cache.

`ways` has the converters between formats; the way from a source's format to a backend's is searched for.
"""

from __future__ import annotations

from mnbench.export.batch import Exports, ensure_all, ensure_each
from mnbench.export.folder import find, holds_artifacts

__all__ = ["Exports", "ensure_all", "ensure_each", "find", "holds_artifacts"]
