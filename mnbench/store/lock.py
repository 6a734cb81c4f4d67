"""One writer per run directory: a lock that the kernel drops when its process ends, however that ends.

It is an open-file-description lock (fcntl(2)): unlike flock's, one can ask for its holder without taking it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnbench.errors import StoreError, UsageError

LOCK_FILE = ".writing"
"""Holds the writer's process id. It is there while a run lasts, and after a kill; only the lock on it counts."""
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""A file system without locks: the run is then written without one."""


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Be the only writer of a run directory until the block ends.

    Raises UsageError when another process is, StoreError when the directory cannot be written.
    """
    path = directory / LOCK_FILE
    try:
        descriptor = _locked(path)
    except BlockingIOError:
        raise UsageError(
            f"{_process(_pid_in(path))} is writing this run, {directory}; wait until it ends, or end it first."
        ) from None
    except OSError as error:
        raise StoreError(f"{directory} cannot be written: {error.strerror}. Nothing was changed.") from error
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same, without a number for others
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):  # the folder may be gone, or read-only by now
            path.unlink()
        os.close(descriptor)


def writer_of(directory: Path) -> str | None:
    """Return which process writes a run directory, as `process 123`; None when there is none, or the system does not say."""
    path = directory / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        held = _flock(descriptor, fcntl.F_OFD_GETLK) != fcntl.F_UNLCK
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return _process(_pid_in(path)) if held else None


def _locked(path: Path) -> int:
    """Return a descriptor of the locked file. Raises BlockingIOError when it is locked already."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(descriptor, fcntl.F_OFD_SETLK)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its last holder removed the file in between: this one locks nothing


def _flock(descriptor: int, command: int) -> int:
    """Lock the whole file for writing, or ask who would be in the way; return the type of the lock that is."""
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # struct flock of 64-bit Linux
    return int(struct.unpack_from("h", fcntl.fcntl(descriptor, command, asked))[0])


def _pid_in(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _process(pid: str) -> str:
    return f"process {pid}" if pid.isdecimal() else "another process"
