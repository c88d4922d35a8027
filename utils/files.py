"""File operations for all parts of the program: existence, atomic replacement, temporary folders."""

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

from utils.errors import InputError, reason, shorten


def exists(path):
    """Whether a file, folder or device exists at `path`.

    Raises:
        InputError: the path cannot be accessed. A folder forbids it, or the path is too long for the system.
    """
    return _mode(path) is not None


def is_dir(path):
    """Whether `path` is an existing folder. Raises as `exists`."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_file(path):
    """Whether `path` is an existing file. Raises as `exists`."""
    return stat.S_ISREG(_mode(path) or 0)


def _mode(path):
    """The type and permission bits of `path` as in `os.stat`, or None if nothing exists there."""
    # For a forbidden folder or a long name, methods of Path raise other errors, and os.path's functions return False.
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise InputError(f"{shorten(path)}: cannot be accessed ({reason(error)})") from None


def make_folder(path):
    """Create a folder and its parents, unless they exist.

    Raises:
        InputError: the folder cannot be created.
    """
    if is_dir(path):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"{shorten(path)}: the folder cannot be created ({reason(error)})") from None


@contextmanager
def replacing(path, hint=None):
    """Write a file completely or not at all.

    The file is written under a temporary name, flushed to the disk and renamed.
    Until then, readers see the former file. If the `with` ends by an exception,
    the temporary file is deleted. Two processes must not replace the same file
    at once.

    Args:
        path: the file to write; an existing file is replaced. A device, such as
            /dev/stdout, is written directly.
        hint: advice that is appended to the error.

    Yields:
        The temporary path. It has the same suffix, because some libraries choose the format by it.

    Raises:
        InputError: the file cannot be written, for example because the disk is full.

    Example:
        with replacing("config.json") as temporary:
            temporary.write_text("{}")
    """
    device = exists(path) and not is_file(path)
    path = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
    temporary = path.with_name(f"partial.{path.name}")
    try:
        if device:
            yield path
            return
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        said = f"{shorten(path)}: cannot be written ({reason(error)})"
        raise InputError(f"{said}; {hint}" if hint else said) from None


def check_temporary():
    """Raise InputError unless temporary files can be written. Importing TensorFlow needs them."""
    try:
        tempfile.gettempdir()
    except OSError:
        raise InputError(
            "no folder for temporary files can be written; free some disk space, or set TMPDIR to another folder"
        ) from None


@contextmanager
def temporary_folder(prefix):
    """Create a temporary folder. It is deleted after the `with`.

    Args:
        prefix: the beginning of the folder's name.

    Yields:
        The Path of the folder.

    Raises:
        InputError: the folder cannot be created.
    """
    check_temporary()
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise InputError(f"{tempfile.gettempdir()}: no temporary folder can be created ({reason(error)})") from None
    with folder:
        yield Path(folder.name)
