"""torch → files that runtimes open, each checked against torch, kept in a content-addressed cache.

    torch state + feed ──▶ ONNX ──▶ OpenVINO IR

One exporter per format, found in one literal table. A format's exporter may ask for another format first.
"""

from __future__ import annotations

from mnbench.export.batch import ensure_all
from mnbench.export.folder import find, holds_artifacts

__all__ = ["ensure_all", "find", "holds_artifacts"]
