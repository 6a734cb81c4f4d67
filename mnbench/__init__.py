"""mnbench: which network, in which runtime and precision, is fastest on this CPU, at what accuracy, and how sure is that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnbench.system import telemetry
from mnbench.system.version import VERSION as __version__  # noqa: N811 - Python's name for it

if TYPE_CHECKING:
    from mnbench.commands.api import Run, compare, load

__all__ = ["Run", "__version__", "compare", "load"]

telemetry.refuse()


def __getattr__(name: str) -> Any:
    """Load the public API when it is first used: a worker imports this package too, and must not pay for it."""
    if name in ("Run", "compare", "load"):
        from mnbench.commands import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
