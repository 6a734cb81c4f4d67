"""Ids of models: safe as part of a file name, in every CSV reader and on a terminal; unique within a run."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mnbench.records import Model
from mnbench.system.tables import keeps_its_name

LONGEST = 48
"""Characters of an id: with backend, precision and the rest the name of a log stays below 255 bytes in most alphabets."""
LONGEST_BYTES = 120
DIGEST_CHARACTERS = 6


def id_of(name: str) -> str:
    """Return an id that is as near to `name` as it can be: letters of any alphabet, digits, `_`, `.` and `-`."""
    cleaned = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name)).strip("._-")
    if not keeps_its_name(cleaned):
        cleaned = f"model_{cleaned}".rstrip("_")
    if len(cleaned) > LONGEST or len(cleaned.encode()) > LONGEST_BYTES:
        ending = f"_{hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARACTERS]}"
        cleaned = cleaned[: LONGEST - len(ending)]
        while len(cleaned.encode()) > LONGEST_BYTES - len(ending):
            cleaned = cleaned[:-1]
        cleaned += ending
    return cleaned


def distinct(models: Sequence[Model]) -> tuple[Model, ...]:
    """Return the models with a piece of a digest behind the ids that several have: of the content, else of the source.

    A network of the catalog keeps its name, by which its published figures are found.
    """
    shared = Counter(model.id.casefold() for model in models)  # a file system may not tell A from a
    return tuple(
        model if shared[model.id.casefold()] == 1 or model.source.scheme == "catalog" else _told_apart(model)
        for model in models
    )


def _told_apart(model: Model) -> Model:
    key = f"{model.source.scheme}:{model.source.locator}"  # two files of one content in two folders are two models
    digest = hashlib.sha256(f"{model.source.sha256}{key}".encode()).hexdigest()
    return replace(model, id=f"{model.id}_{digest[:DIGEST_CHARACTERS]}")
