"""The one kind of error that a person can cause and mend, and how other errors are told in one line."""

import os
import re


class InputError(ValueError):
    """What is wrong, where, and what to do about it, in one line.

    The scripts print it as `error: …` and end with status 2.
    """


class ImageError(InputError):
    """A file that cannot be read as a photo."""


class ImageWarning(UserWarning):
    """A photo that is read, but not whole; issued once for each file."""


def reason(error):
    """What an exception says, in one line of at most 150 characters; of the system's errors without the path."""
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(" ".join(str(said or error).split()))[:150] or type(error).__name__


def one_line(text):
    r"""Text with its control characters and line ends, which names of files may hold, written as escapes such as \n."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], str(text))


def first_lines(lines, count=10):
    """The first of many lines; a last one says how many more there are.

    Example:
        >>> first_lines(["a", "b", "c"], 2)
        ['a', 'b', '… and 1 more']
    """
    lines = list(map(str, lines))
    return [*lines[:count], *([f"… and {len(lines) - count} more"] if len(lines) > count else [])]


def shorten(name, length=200):
    """A name for an error's line: what is longer, as a `data:` address, is cut in its middle.

    Example:
        >>> shorten("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA", 20)
        'data:image/… (46 characters)'
    """
    name = os.fspath(name)
    return name if len(name) <= length else f"{name[: length // 2 + 1]}… ({len(name)} characters)"
