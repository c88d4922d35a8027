"""Captions as alternative text: in a text file beside each photo, or inside it, in its EXIF and XMP data."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from utils.errors import InputError

# Where readers of photos look: IPTC's alt text for assistive technology, and
# the descriptions that catalogues and older programs show.
_TAGS = ("XMP-iptcCore:AltTextAccessibility", "XMP-dc:Description", "EXIF:ImageDescription")


def check(sources, where):
    """Make sure, before the work, that alternative text can be written for photos.

    Args:
        sources: list of utils.data.photo_sources.Source.
        where: "file" or "metadata".

    Raises:
        InputError: a photo is not on this machine, a folder may not be written, or ExifTool is missing.
    """
    for source in sources:
        if not source.local:
            raise InputError(f"{source.name}: alternative text goes beside or into files on this machine only")
    for folder in {source.path.parent for source in sources}:
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder}: may not be written, so no alternative text can be put there")
    if where == "metadata" and not shutil.which("exiftool"):
        raise InputError(
            "ExifTool, which writes into photos, is not installed: apt install libimage-exiftool-perl, "
            "brew install exiftool, or https://exiftool.org"
        )


def find_described(sources, where):
    """The photos that have an alternative text already, so that no other one is written for them unasked.

    Args:
        sources: list of utils.data.photo_sources.Source on this machine.
        where: "file" or "metadata".

    Returns:
        A set of paths, of those sources.
    """
    paths = [source.path for source in sources]
    if where == "file":
        return {path for path in paths if os.path.lexists(_beside(path))}
    # In one call, as ExifTool takes longer to start than to read; a name with a newline would be two names.
    by_name = {str(path.resolve()): path for path in paths if path.is_file() and "\n" not in str(path.resolve())}
    done = _exiftool([f"-{_TAGS[0]}", "-json", "-@", "-"], "\n".join(by_name)) if by_name else None
    try:
        found = json.loads(done.stdout) if done else []
    except ValueError:  # nothing could be read; captioning says why
        found = []
    return {by_name[row["SourceFile"]] for row in found if len(row) > 1 and row.get("SourceFile") in by_name}


def _beside(path):
    return path.with_name(path.name + ".txt")


def _exiftool(arguments, given=None):
    command = ["exiftool", "-quiet", "-quiet", "-charset", "filename=utf8", *arguments]
    return subprocess.run(command, input=given, capture_output=True, encoding="utf-8", errors="replace")


def write_alt_text(path, text, where, overwrite=False):
    """Write alternative text for one photo.

    The picture itself is never changed: ExifTool leaves its compressed data and
    the file's time as they are, and puts the new file in place by a rename.
    The file as it was stays beside it, as `photo.jpg_original`, unless `overwrite`.

    Args:
        path: the photo.
        text: a sentence.
        where: "file", for `photo.jpg.txt` beside `photo.jpg`, or "metadata".
        overwrite: replace what is there, and keep no backup.

    Returns:
        Whether anything was written; False if there was a text already.

    Raises:
        InputError: it cannot be written.
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
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
    return True


def _write_metadata(path, text, overwrite):
    unasked = ["-overwrite_original"] if overwrite else ["-wm", "cg", "-if", f"not defined ${_TAGS[0]}"]
    # An absolute path, so that none is taken for an option.
    done = _exiftool(["-preserve", *unasked, *(f"-{tag}={text}" for tag in _TAGS), str(path.resolve())])
    if done.returncode == 2:  # the condition failed: there is a text
        return False
    if done.returncode:
        raise InputError(f"{path}: ExifTool cannot write into it ({' '.join(done.stderr.split())[:200]})")
    return True
