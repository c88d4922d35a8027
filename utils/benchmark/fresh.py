"""Calls in a process of their own, as a program that has just been started makes them."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from utils.errors import InputError


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
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux getrusage counts the process that started this one too.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # which Windows does not have

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
