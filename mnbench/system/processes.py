"""Processes and what they inherit: children that never outlive their parent, descriptors, limits and quiet environments."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1  # prctl(2)
FIRST_FREE = 3
"""Of file descriptors: 0 to 2 are standard input, output and error of every process."""
FILES_WANTED = 4096
FILES_IN_PASSING = 16
LOUD = (
    "ONEDNN_VERBOSE", "DNNL_VERBOSE", "MKL_VERBOSE", "OMP_DISPLAY_ENV", "OMP_DISPLAY_AFFINITY", "KMP_VERSION", "KMP_SETTINGS",
    "OPENVINO_LOG_LEVEL", "OV_CPU_VERBOSE", "TBB_VERSION", "TORCH_LOGS", "TORCH_CPP_LOG_LEVEL", "LD_DEBUG", "MALLOC_CHECK_",
    "PYTHONWARNINGS", "PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME", "PYTHONINSPECT", "PYTHONDEBUG", "PYTHONDEVMODE",
    "PYTHONMALLOC", "PYTHONMALLOCSTATS", "PYTHONTRACEMALLOC", "PYTHONDUMPREFS", "PYTHONASYNCIODEBUG",
)  # fmt: skip
"""Variables that make a runtime or Python print a line an inference, stop at a warning, or check its memory: none is passed on
to a child, whose log would fill the disk and whose time would be that of the printing."""


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends, and even while this one is stopped.

    The kernel looks at the thread that started this process: start it from one that lives as long as it is needed.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def quiet(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables without those that make a child loud."""
    return {name: value for name, value in variables.items() if name not in LOUD}


def open_standard_descriptors() -> None:
    """Open what is closed of descriptors 0 to 2 on /dev/null, as `mnbench … <&-`, a daemon or cron may leave them.

    Else the next file or pipe that is opened gets the number, and is overwritten or read as standard output or input.
    """
    for number in range(FIRST_FREE):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for the process's life


def pipe() -> tuple[int, int]:
    """Return a pipe (read, write) whose descriptors are none of the standard ones, whatever of these is closed."""
    return tuple(map(_above_standard, os.pipe()))  # type: ignore[return-value]


def _above_standard(descriptor: int) -> int:
    if descriptor >= FIRST_FREE:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    os.close(descriptor)
    return moved


def raise_file_limit() -> None:
    """Let this process open as many files as it may: a live worker takes two descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bound_files(most_bytes: int) -> None:
    """Let no file that this process writes grow beyond so many bytes: further writes fail (EFBIG; Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY or soft > most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))


def spare_files() -> int:
    """Return how many more files this process may open, less a reserve for what it opens in passing."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return FILES_WANTED
    return soft - _open_files(soft) - FILES_IN_PASSING


def _open_files(most: int) -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, no paths
    except OSError:  # no /proc: ask for each
        return sum(map(_is_open, range(min(most, FILES_WANTED))))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def refusal(error: OSError) -> str:
    """Return why the system refused to start a process, with the limit to look at where there is one."""
    reason = error.strerror or str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{reason}: this process may open {_limit(resource.RLIMIT_NOFILE)} files; raise that with `ulimit -n`"
    if error.errno == errno.EAGAIN:
        return f"{reason}: this user may have {_limit(resource.RLIMIT_NPROC)} processes; raise that with `ulimit -u`"
    if error.errno == errno.ENOMEM:
        return f"{reason}: there is too little memory for another process"
    return reason


def _limit(kind: int) -> str:
    soft, _ = resource.getrlimit(kind)
    return "any number of" if soft == resource.RLIM_INFINITY else f"{soft}"
