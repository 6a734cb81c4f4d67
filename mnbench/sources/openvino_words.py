"""What OpenVINO says of a model that it does not open."""

from __future__ import annotations


def first_words(error: Exception) -> str:
    """Return what an error of OpenVINO says, without the places in its own source that it begins with."""
    lines = [" ".join(line.split()).lstrip("- ") for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API failed"))]
    return " ".join(told)[:400] or str(error)[:400]
