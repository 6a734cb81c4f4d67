"""Opening a file that a user named: never one that could block, and every refusal is one sentence."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from mnbench.errors import ModelFileError
from mnbench.system.files import text_of

HEAD_BYTES = 512
GIT_LFS = b"version https://git-lfs.github.com/spec/"
ZIP = b"pk\x03\x04"
STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "is an HTML page: the download got a web page in place of the model"),
    (b"<html", "is an HTML page: the download got a web page in place of the model"),
    (b"<?xml", "is an XML file"),
    (b"<net ", "is an OpenVINO network in XML"),
    (ZIP, "is a zip archive"),
    (b"\x1f\x8b", "is a gzip archive"),
)
"""How files of other formats begin, in lower case, and what they are."""
SPECIAL: tuple[tuple[int, str], ...] = (
    (stat.S_IFDIR, "a folder"),
    (stat.S_IFIFO, "a FIFO (named pipe)"),
    (stat.S_IFSOCK, "a socket"),
    (stat.S_IFCHR, "a device"),
    (stat.S_IFBLK, "a device"),
)


def shown(path: Path) -> str:
    """Return a path as text that a message can hold, quoted."""
    return repr(text_of(str(path)))


def size_of(path: Path, what: str = "the model file") -> int:
    """Return the size of a regular file in bytes, without opening it: opening a FIFO would wait for its other end.

    Raises ModelFileError if the file is missing, empty, or not a regular file. `what` begins the sentence.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(f"{what} {shown(path)} does not exist.") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{what} {shown(path)} cannot be read: {_reason(error)}.") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for mode, name in SPECIAL if stat.S_IFMT(found.st_mode) == mode), "no regular file")
        raise ModelFileError(f"{what} {shown(path)} is {kind}; give the path of a regular file.")
    if found.st_size == 0:
        raise ModelFileError(f"{what} {shown(path)} is empty.")
    return found.st_size


def open_regular(path: Path, what: str = "the model file") -> BinaryIO:
    """Open a regular file for reading. Raises ModelFileError as `size_of` does, and if permission is missing."""
    size_of(path, what)
    try:
        # O_NONBLOCK has no effect on a regular file. It keeps a FIFO that took this name since from blocking.
        return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except OSError as error:
        raise ModelFileError(f"{what} {shown(path)} cannot be read: {_reason(error)}.") from error


def refuse_git_lfs(path: Path, head: bytes, what: str = "the model file") -> None:
    """Raise ModelFileError if a file that begins with `head` is the pointer that git-lfs leaves in place of a file."""
    if head.startswith(GIT_LFS):
        raise ModelFileError(f"{what} {shown(path)} is a git-lfs pointer: run git lfs pull in its repository.")


def refuse_other_formats(path: Path, head: bytes, format_name: str, own: tuple[bytes, ...] = ()) -> None:
    """Raise ModelFileError if a file that begins with `head` is a git-lfs pointer or plainly of another format.

    `own` are the entries of `STRANGERS` with which files of this format do begin.
    """
    refuse_git_lfs(path, head)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, what in STRANGERS:
        if start.startswith(beginning) and beginning not in own:
            raise ModelFileError(f"the model file {shown(path)} {what}, not {format_name}.")


def digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' bytes, one file after the other, read in blocks. For one file this is its own digest.

    Raises ModelFileError if a file cannot be read.
    """
    sha256 = hashlib.sha256()
    for path in paths:
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                sha256.update(block)
    return sha256.hexdigest()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
