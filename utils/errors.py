"""Errors that a user can cause and fix, and functions to report any error in one line."""

import os
import re


class InputError(ValueError):
    """An error that a user can cause and fix.

    The message is one line: the place, the problem, and what to do about it.
    Scripts print it as `error: …` and end with status 2.
    """


class ImageError(InputError):
    """A file that cannot be read as a photo."""


class ImageWarning(UserWarning):
    """A warning that only a part of a photo could be read. It is issued once per file."""


def reason(error):
    """An exception's message in one line of at most 150 characters. For an OSError, the path is left out."""
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(" ".join(str(said or error).split()))[:150] or type(error).__name__


def one_line(text):
    r"""Text with control characters and line ends replaced by escapes such as \n. Names of files may contain them."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], str(text))


def first_lines(lines, count=10):
    """The first `count` of many lines. If there are more, one line with their number follows.

    Args:
        lines: objects, converted by `str`.
        count: the maximum number of lines.

    Returns:
        A list of texts.

    Example:
        >>> first_lines(["a", "b", "c"], 2)
        ['a', 'b', '… and 1 more']
    """
    lines = list(map(str, lines))
    return [*lines[:count], *([f"… and {len(lines) - count} more"] if len(lines) > count else [])]


def shorten(name, length=200):
    """A name for an error's line. A name that is too long is cut, because `data:` addresses can have megabytes.

    Args:
        name: a path or an address.
        length: the maximum length, in characters, of names that are not cut.

    Example:
        >>> shorten("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA", 20)
        'data:image/… (46 characters)'
    """
    name = os.fspath(name)
    return name if len(name) <= length else f"{name[: length // 2 + 1]}… ({len(name)} characters)"
