"""Calls in a process of their own, as a program that has just been started makes them."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from utils.errors import InputError

# What Linux tells of a process.
_STATUS = Path("/proc/self/status")


def call(function, *arguments):
    """The result of a function of a module, called in a fresh process.

    Raises:
        InputError: the process was killed, as happens where memory runs out.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise InputError(
                f"a process of the benchmark ({function.__name__}) was killed, as happens where memory runs out; "
                "close other programs and run it again"
            ) from None


def peak_bytes():
    """The most memory that this process has had."""
    if _STATUS.is_file():
        # On Linux getrusage counts the process that started this one too.
        return _status("VmHWM")
    import resource  # which Windows does not have

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes():
    """The memory that this process has now; where the system does not tell, the most that it has had."""
    return _status("VmRSS") if _STATUS.is_file() else peak_bytes()


def _status(name):
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
