"""Calls in a process of their own, as a program that has just been started makes them."""

import multiprocessing
import resource
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
            raise InputError(f"{function.__name__}: its process was killed; free memory and run again") from None


def peak_bytes():
    """The most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux getrusage counts the process that started this one too.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
