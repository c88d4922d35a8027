"""Functions that write captions as alternative text for photos: into text files, or into the photos' metadata."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from utils.errors import InputError, reason

# The metadata fields that get the alternative text. Screen readers use the first one; photo catalogues and older
# programs show the other two.
_TAGS = ("XMP-iptcCore:AltTextAccessibility", "XMP-dc:Description", "EXIF:ImageDescription")


def check(sources, where):
    """Check, before any photo is captioned, that alternative text can be written.

    Args:
        sources: the photos, a list of Source (utils.data.photo_sources).
        where: "file" for a text file beside each photo, or "metadata" for the metadata of each photo.

    Raises:
        InputError: a photo is not on this machine, a folder is not writable, or ExifTool is missing.
    """
    for source in sources:
        if not source.local:
            raise InputError(f"{source.name}: not a file on this machine; --alt_text needs photos on this machine only")
    for folder in {source.path.parent for source in sources}:
        if not os.access(folder, os.W_OK):
            raise InputError(f"cannot write into {folder}: no permission; copy the photos to a folder of your own")
    if where == "metadata" and not shutil.which("exiftool"):
        raise InputError(
            "--alt_text metadata needs ExifTool, which is not installed: apt install libimage-exiftool-perl, "
            "brew install exiftool, or see https://exiftool.org"
        )


def find_described(sources, where):
    """Find the photos that already have an alternative text.

    Args:
        sources: the photos, a list of Source (utils.data.photo_sources). All of them are files on this machine.
        where: "file" for a text file beside each photo, or "metadata" for the metadata of each photo.

    Returns:
        A set with the paths of the photos that have an alternative text.
    """
    paths = [source.path for source in sources]
    if where == "file":
        return {path for path in paths if os.path.lexists(_beside(path))}
    # ExifTool is called once for all photos, because it starts slowly. It reads one name per line, so names that
    # contain a newline are left out.
    by_name = {str(path.resolve()): path for path in paths if path.is_file() and "\n" not in str(path.resolve())}
    done = _exiftool([f"-{_TAGS[0]}", "-json", "-@", "-"], "\n".join(by_name)) if by_name else None
    try:
        found = json.loads(done.stdout) if done else []
    except ValueError:  # ExifTool could not read any photo; captioning will report the reason
        found = []
    return {by_name[row["SourceFile"]] for row in found if len(row) > 1 and row.get("SourceFile") in by_name}


def _beside(path):
    return path.with_name(path.name + ".txt")


def _exiftool(arguments, given=None):
    command = ["exiftool", "-quiet", "-quiet", "-charset", "filename=utf8", *arguments]
    return subprocess.run(command, input=given, capture_output=True, encoding="utf-8", errors="replace")


def write_alt_text(path, text, where, overwrite=False):
    """Write the alternative text of one photo.

    The pixels never change. The program ExifTool writes the metadata. It copies the
    compressed image data and keeps the modification time of the file. If `overwrite`
    is False, it also keeps the original file, as `photo.jpg_original`.

    Args:
        path: the file of the photo.
        text: the alternative text, one sentence.
        where: "file" for a text file `photo.jpg.txt` beside `photo.jpg`, or "metadata" for the metadata of the photo.
        overwrite: True to replace an existing text, without a backup.

    Returns:
        True if the text was written, False if the photo already has one.

    Raises:
        InputError: the text cannot be written.
    """
    return (_write_file if where == "file" else _write_metadata)(Path(path), text, overwrite)


def _write_file(path, text, overwrite):
    target = _beside(path)
    try:
        with open(target, "w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"cannot write {target}: {reason(error)}") from None
    return True


def _write_metadata(path, text, overwrite):
    unasked = ["-overwrite_original"] if overwrite else ["-wm", "cg", "-if", f"not defined ${_TAGS[0]}"]
    # An absolute path is used, because ExifTool would read a name such as -photo.jpg as an option.
    done = _exiftool(["-preserve", *unasked, *(f"-{tag}={text}" for tag in _TAGS), str(path.resolve())])
    if done.returncode == 2:  # the condition `-if` is false: the photo has a text already
        return False
    if done.returncode:
        raise InputError(f"ExifTool cannot write into {path}: {' '.join(done.stderr.split())[:200]}")
    return True
