"""Show lines of text and progress bars during long work. The caller decides where they appear."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

# Takes the arguments of tqdm and returns a progress bar that shows nothing.
silent = partial(tqdm, disable=True)


def _say_nothing(*lines):
    pass


@dataclass(frozen=True)
class Reporter:
    """Show lines of text and progress bars to the user. By default, nothing is shown.

    Args:
        say: a function that shows lines of text. Each argument is a line.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Example:
        Reporter(say=print).say("12 photos left")
    """

    say: Callable[..., None] = _say_nothing
    progress: Callable[..., Any] = silent


# A Reporter that shows nothing.
QUIET = Reporter()
