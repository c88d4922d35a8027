"""The lines and progress bars of long work; the caller decides where they appear."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

# A progress bar that shows nothing.
silent = partial(tqdm, disable=True)


def _say_nothing(*lines):
    pass


@dataclass(frozen=True)
class Reporter:
    """The lines and progress bars that long work shows to a person.

    Args:
        say: function that takes lines of text, each a positional argument.
        progress: function with the arguments of tqdm that returns a progress bar.

    Example:
        Reporter(say=print).say("12 photos left")
    """

    say: Callable[..., None] = _say_nothing
    progress: Callable[..., Any] = silent


# Shows nothing.
QUIET = Reporter()
