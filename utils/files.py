"""Check whether files exist, replace files atomically, and make folders and temporary folders."""

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

from utils.errors import InputError, reason, shorten


def exists(path):
    """Return True if a file, folder or device exists at `path`, a str or Path.

    Raises:
        InputError: the permissions of a folder in the path deny access, or the path is invalid or too long.
    """
    return _mode(path) is not None


def is_dir(path):
    """Return True if `path` is an existing folder. Raises InputError if access is denied or the path is invalid."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_file(path):
    """Return True if `path` is an existing file. Raises InputError if access is denied or the path is invalid."""
    return stat.S_ISREG(_mode(path) or 0)


def _mode(path):
    """Return `os.stat(path).st_mode`, which says whether `path` is a file, a folder or a device.

    Returns None if nothing exists at `path`. Raises InputError if access is denied or the path is invalid.
    """
    # os.path's functions would return False if access is denied or the path is too long.
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise InputError(f"{shorten(path)}: cannot be accessed ({reason(error)})") from None


def make_folder(path):
    """Create a folder and its parents if they do not exist.

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

    The code in the `with` block writes to a temporary path. When the block
    ends, the temporary file is flushed to the disk and renamed. Until then, the
    former file remains. If the block raises an exception, the temporary file is
    deleted. Two processes must not replace the same file at once.

    Args:
        path: the file to write; an existing file is replaced. A device, such as
            /dev/stdout, is written directly.
        hint: advice to the user that is appended to the error, or None.

    Yields:
        The temporary Path. It has the suffix of `path`, because some libraries choose the file format by the suffix.

    Raises:
        InputError: the file cannot be written, for example because the disk is full.

    Example:
        with replacing("config.json") as temporary:
            temporary.write_text("{}")
    """
    device = exists(path) and not is_file(path)
    path = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
    # A name may have 255 bytes. The end is kept for its suffix; 60 characters have at most 240 bytes.
    temporary = path.with_name(f"partial.{path.name[-60:]}")
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
    """Create a temporary folder, which is deleted at the end of the `with` block.

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
