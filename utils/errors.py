"""Define the errors that a user can cause and fix, and shorten messages to one line."""

import os
import re


class InputError(ValueError):
    """Raised for an error that a user can cause and fix.

    The message is one line: the place, the problem, and what to do about it.
    Scripts print it as `error: …` and end with status 2.
    """


class ImageError(InputError):
    """Raised when a file or an array cannot be read as a photo."""


class ImageWarning(UserWarning):
    """Issued when only a part of a photo can be read, once per file."""


def reason(error):
    """Return an exception's message in one line of at most 150 characters.

    The path in the message of an OSError is left out. If the message is empty,
    the name of the exception's class is returned.
    """
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(" ".join(str(said or error).split()))[:150] or type(error).__name__


def one_line(text):
    r"""Replace line ends and other control characters in a text by escapes such as \n.

    Names of files may contain such characters, but an error must be one line.
    """
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], str(text))


def first_lines(lines, count=10):
    """Shorten a list of lines: keep the first ones, and add a line with the number of those left out.

    Args:
        lines: a list of str, or of objects that `str` converts to lines.
        count: how many lines are kept.

    Returns:
        A list of str. If no line is left out, none is added.

    Example:
        >>> first_lines(["a", "b", "c"], 2)
        ['a', 'b', '… and 1 more']
    """
    lines = list(map(str, lines))
    return [*lines[:count], *([f"… and {len(lines) - count} more"] if len(lines) > count else [])]


def shorten(name, length=200):
    """Cut a name that is too long for an error message, such as a `data:` address of several megabytes.

    Args:
        name: a path or an address.
        length: names with at most this number of characters are not cut.

    Returns:
        The name as text. A longer name becomes its first `length // 2 + 1` characters and its number of characters.

    Example:
        >>> shorten("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA", 20)
        'data:image/… (46 characters)'
    """
    name = os.fspath(name)
    return name if len(name) <= length else f"{name[: length // 2 + 1]}… ({len(name)} characters)"
