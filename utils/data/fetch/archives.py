"""Archives that others have made, unpacked so that they can do no harm."""

import os
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from utils.errors import InputError
from utils.progress import silent

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# A file in an archive: its name, its size when unpacked, the archive's own record of it.
_File = namedtuple("_File", "name size record")

_BLOCK = 1 << 20


def unpack(path, folder, keep=("*",), limit=100 << 30, progress=silent):
    """Unpack an archive.

    Nothing is written outside the folder, no link is made, no file that is
    there is changed, and every file appears whole or not at all.

    Args:
        path: a .zip, .tar or .tar.gz file.
        folder: where to put its files.
        keep: patterns of the names to unpack; `*` stands for folders too.
        limit: bytes that it may hold when unpacked.
        progress: called as tqdm is.

    Returns:
        How many files were written, and how many were there already.

    Raises:
        InputError: damaged, too large for the limit or the disk, or with a
            member that leads out of the folder or is no plain file.
    """
    folder = Path(folder)
    try:
        with _open(path) as archive:
            files = [file for file in _files(archive, path) if any(fnmatchcase(file.name, k) for k in keep)]
            total = sum(file.size for file in files)
            if total > limit:
                raise InputError(f"{path}: holds {total / 1e9:.1f} GB, more than the {limit / 1e9:.1f} GB expected")
            _check_room(folder, total, path)
            written = 0
            with progress(total=total, unit="B", unit_scale=True, desc=f"unpacking {Path(path).name}") as bar:
                for file in files:
                    written += _write(archive, file, folder / file.name, path)
                    bar.update(file.size)
            return written, len(files) - written
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: damaged archive ({error}); delete it and fetch it again") from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be unpacked into {folder} ({error.strerror or error})") from None


def _open(path):
    return zipfile.ZipFile(path) if zipfile.is_zipfile(path) else tarfile.open(path)


def _files(archive, path):
    """The plain files of an archive; anything that could do harm is an error before the first byte is written."""
    for record in archive.infolist() if isinstance(archive, zipfile.ZipFile) else archive:
        if isinstance(archive, zipfile.ZipFile):
            mode = record.external_attr >> 16
            name, size, is_folder = record.filename, record.file_size, record.is_dir()
            # Archives made on Windows give no mode.
            is_file = not stat.S_IFMT(mode) or stat.S_ISREG(mode)
        else:
            name, size, is_folder, is_file = record.name, record.size, record.isdir(), record.isfile()
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0] or "\0" in name:
            raise InputError(f"{path}: {name!r} would be written outside the folder; this archive is not to be trusted")
        if is_folder or "__MACOSX" in parts or parts[-1].startswith("."):
            continue
        if not is_file:
            raise InputError(f"{path}: {name!r} is a link or a device; this archive is not to be trusted")
        yield _File("/".join(parts), size, record)


def _check_room(folder, total, path):
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if total > free:
        raise InputError(f"{folder}: {path} takes {total / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free; make room")


def _write(archive, file, target, path):
    """Write one file under a temporary name, then rename it; False if it is there."""
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
                    raise InputError(f"{path}: {file.name} is larger than the archive says; it is not to be trusted")
                output.write(block)
        if left:
            raise InputError(f"{path}: {file.name} is cut short; delete the archive and fetch it again")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return True
