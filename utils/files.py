"""What every part of the program does with files: look, write whole or not at all. Errors are of one line."""

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

from utils.errors import InputError, reason, shorten


def exists(path):
    """Whether anything is there.

    Raises:
        InputError: that cannot be found out: a folder may not be entered, or the path is too long for the system.
    """
    return _mode(path) is not None


def is_dir(path):
    """Whether a folder is there; raises as `exists`."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_file(path):
    """Whether a file is there; raises as `exists`."""
    return stat.S_ISREG(_mode(path) or 0)


def _mode(path):
    # pathlib's questions raise PermissionError and, of long names, OSError; os.path's answer False to both.
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise InputError(f"{shorten(path)}: cannot be looked at ({reason(error)})") from None


def make_folder(path):
    """Make a folder and those above it, unless they are there.

    Raises:
        InputError: it cannot be made.
    """
    if is_dir(path):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"{shorten(path)}: the folder cannot be made ({reason(error)})") from None


@contextmanager
def replacing(path, hint=None):
    """Write a file whole or not at all: under a temporary name, then to the disk, then renamed.

    Whoever reads meanwhile sees the former file; nothing is left behind when the
    `with` ends by an exception.

    Args:
        path: the file to write; one that is there is replaced. A device, such as
            /dev/stdout, is written to itself.
        hint: what to do if it cannot be, for the error's line.

    Yields:
        The temporary path, of the same suffix, as some libraries go by it.

    Raises:
        InputError: the file cannot be written; a full disk, for one.

    Example:
        with replacing("config.json") as temporary:
            temporary.write_text("{}")
    """
    device = exists(path) and not is_file(path)
    path = Path(os.path.realpath(path))  # a link stays one
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
    """Raise InputError where no temporary file can be written; TensorFlow's import needs that, too."""
    try:
        tempfile.gettempdir()
    except OSError:
        raise InputError("no folder for temporary files can be written; make room, or name one by TMPDIR") from None


@contextmanager
def temporary_folder(prefix):
    """A folder, a Path, that is gone after the `with`.

    Raises:
        InputError: it cannot be made.
    """
    check_temporary()
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise InputError(f"{tempfile.gettempdir()}: no temporary folder can be made ({reason(error)})") from None
    with folder:
        yield Path(folder.name)
