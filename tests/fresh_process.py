"""Processes in which nothing was computed before, for what must not depend on the process that came before.

They are forked from a process that imports the program and does nothing else, so
that only the first of them waits the seconds that TensorFlow's import takes.
"""

import contextlib
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from utils import console

ROOT = Path(__file__).resolve().parents[1]

# Elsewhere TensorFlow need not survive a fork, so each process imports it.
_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    _CONTEXT.set_forkserver_preload(["__main__", "tests.training.training_worker"])


class FreshProcess:
    """A function of a module at work in a process of its own, as a script is that `console.run` runs.

    Args:
        function: of a module, so that the process finds it.
        arguments: of the function; whatever pickle takes.
        environment: variables of the process.
    """

    def __init__(self, function, *arguments, **environment):
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / name for name in ("output", "error")]
        self._process = _CONTEXT.Process(target=_run, args=(self._streams, environment, function, arguments))
        with contextlib.chdir(ROOT):  # where the first process is to find what it imports
            self._process.start()

    def finish(self, timeout=200):
        """Wait for its end: (status, standard output, standard error); the status is minus a signal that ended it."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(self._streams[1].read_text())
        return self._process.exitcode, *(path.read_text() for path in self._streams)

    def kill(self):
        """End it by SIGKILL, if it has not ended yet."""
        self._process.kill()


def _run(streams, environment, function, arguments):
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(environment)
    console.run(lambda: function(*arguments))
