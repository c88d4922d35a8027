"""Call functions in new processes, in order to measure memory and start-up time as in a new program."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from utils.errors import InputError

# Linux's status file of the current process.
_STATUS = Path("/proc/self/status")


def call(function, *arguments):
    """Call a function in a new process and return its result.

    Args:
        function: function that is defined at the top level of a module.
        arguments: the arguments of the function.

    Raises:
        InputError: the process was killed, for example because memory ran out.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise InputError(
                f"a process of the benchmark ({function.__name__}) was killed, probably because memory ran out; close "
                "other programs and run the benchmark again"
            ) from None


def peak_bytes():
    """Return the largest memory that this process has used so far, in bytes, an int."""
    if _STATUS.is_file():
        # On Linux, `getrusage` would include the parent process.
        return _status("VmHWM")
    import resource  # not available on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes():
    """Return the memory that this process uses now, in bytes. On systems other than Linux, it is the peak memory."""
    return _status("VmRSS") if _STATUS.is_file() else peak_bytes()


def _status(name):
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
