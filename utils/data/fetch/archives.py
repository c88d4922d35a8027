"""Unpack archives from the internet safely."""

import os
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from utils.errors import InputError, reason
from utils.progress import silent

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# A file in an archive: its name, its unpacked size in bytes, and the archive library's object for it.
_File = namedtuple("_File", "name size record")

_BLOCK = 1 << 20


def unpack(path, folder, keep=("*",), limit=100 << 30, progress=silent):
    """Unpack an archive.

    Nothing is written outside the folder, no link is created, no existing file
    is changed, and each file is written completely or not at all.

    Args:
        path: a .zip, .tar or .tar.gz file.
        folder: the folder for the files.
        keep: patterns of the names of files to unpack, as a list or tuple. `*` stands for any characters, also slashes.
        limit: the maximum size of all unpacked files in bytes.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        (written, there): the number of files that were written, and the number of files that existed already.

    Raises:
        InputError: the archive is damaged, is too large for the limit or the
            disk, or contains a path outside the folder, a link or a device.
    """
    folder = Path(folder)
    try:
        with _open(path) as archive:
            files = [file for file in _files(archive, path) if any(fnmatchcase(file.name, k) for k in keep)]
            total = sum(file.size for file in files)
            if total > limit:
                raise InputError(f"{path}: contains {total / 1e9:.1f} GB, more than the expected {limit / 1e9:.1f} GB")
            _check_room(folder, total, path)
            written = 0
            with progress(total=total, unit="B", unit_scale=True, desc=f"unpacking {Path(path).name}") as bar:
                for file in files:
                    written += _write(archive, file, folder / file.name, path)
                    bar.update(file.size)
            return written, len(files) - written
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise InputError(
                f"{path}: cannot be unpacked into {folder} ({reason(error)}); choose another --data_dir"
            ) from None
        # The libraries raise many types for damaged archives, such as zlib.error.
        raise InputError(f"{path}: damaged archive ({reason(error)}); delete it and fetch it again") from None


def _open(path):
    """Open an archive as a ZipFile or a TarFile."""
    return zipfile.ZipFile(path) if zipfile.is_zipfile(path) else tarfile.open(path)


def _files(archive, path):
    """List the files of an archive, and check that they are safe to unpack. Hidden files are left out.

    Args:
        archive: a ZipFile or a TarFile.
        path: the path of the archive, for errors.

    Yields:
        A _File: the name, the size, and the archive library's object for the file.

    Raises:
        InputError: the archive contains a path outside its own folder, a link or a device.
    """
    for record in archive.infolist() if isinstance(archive, zipfile.ZipFile) else archive:
        if isinstance(archive, zipfile.ZipFile):
            mode = record.external_attr >> 16
            name, size, is_folder = record.filename, record.file_size, record.is_dir()
            # Archives made on Windows have no mode.
            is_file = not stat.S_IFMT(mode) or stat.S_ISREG(mode)
        else:
            name, size, is_folder, is_file = record.name, record.size, record.isdir(), record.isfile()
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0] or "\0" in name:
            raise InputError(f"{path}: {name!r} would be written outside the folder; do not trust this archive")
        if is_folder or "__MACOSX" in parts or parts[-1].startswith("."):
            continue
        if not is_file:
            raise InputError(f"{path}: {name!r} is a link or a device; do not trust this archive")
        yield _File("/".join(parts), size, record)


def _check_room(folder, total, path):
    """Raise InputError if the disk has too little free space for an archive's files.

    Args:
        folder: the folder for the files, a Path. It need not exist.
        total: the size of the files in bytes.
        path: the path of the archive, for the error.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if total > free:
        raise InputError(
            f"{folder}: {path} needs {total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free; free some disk space"
        )


def _write(archive, file, target, path):
    """Unpack one file of an archive.

    Args:
        archive: a ZipFile or a TarFile.
        file: the file's _File, with its name and size in the archive.
        target: the path to write to, a Path.
        path: the path of the archive, for errors.

    Returns:
        True if the file was written, False if it existed already.
    """
    # `files.replacing` is not used, because it waits for the disk after each file, and COCO has 123,287 photos.
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    source = archive.open(file.record) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(file.record)
    left = file.size
    try:
        with source, open(partial, "wb") as output:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise InputError(f"{path}: {file.name} is larger than the archive says; do not trust this archive")
                output.write(block)
        if left:
            raise InputError(f"{path}: {file.name} is incomplete; delete the archive and fetch it again")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return True
