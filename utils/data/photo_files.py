"""Find the photos of a folder and its subfolders, and count the files that are skipped."""

import importlib.util
import os
from collections import defaultdict
from pathlib import Path

from PIL import Image

from utils import files
from utils.data.images import FORMATS
from utils.errors import InputError, one_line, shorten

# Suffixes of photos. Some suffixes of formats that Pillow reads are left out, because most files with
# these suffixes are not photos but, for example, installers.
SUFFIXES = {suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS}
SUFFIXES = frozenset(SUFFIXES | {".mpo", ".pjp", ".pjpeg"}) - {".fit", ".gbr", ".im", ".msp", ".vst"}

# Suffixes of photos that Pillow does not read: JPEG XL and the cameras' raw formats.
_UNREAD_SUFFIXES = frozenset(
    {".jxl", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srw", ".raf", ".orf", ".rw2", ".pef"}
)

# Folders of operating systems and storage devices with thumbnails, deleted files or copies, in lower case.
# Hidden folders, whose names begin with a dot, are recognised without this list.
_SYSTEM = frozenset(
    {
        *("@eadir", "@recycle", "#recycle", "@tmp", "#snapshot", "@recently-snapshot"),  # network storage
        *("$recycle.bin", "recycler", "system volume information"),  # Windows
        *("__macosx", "lost+found"),
    }
)


class LeftOut:
    """Collect the files and folders that were skipped in the search for photos.

    `str()` of such an object is one line for the user. `bool()` of the object is False if nothing was skipped.
    """

    def __init__(self):
        self._paths = defaultdict(list)

    def add(self, what, path):
        """Add a path that is skipped.

        Args:
            what: the kind of file or folder in the plural, such as "hidden files".
            path: the path.
        """
        self._paths[what].append(path)

    def __bool__(self):
        return bool(self._paths)

    def __str__(self):
        each = [
            f"{len(paths)} {what} ({one_line(os.path.basename(paths[0]))}{', …' if len(paths) > 1 else ''})"
            for what, paths in self._paths.items()
        ]
        return f"skipped: {', '.join(each)}"


def is_system(name):
    """Return True if a file or folder with this name, a str, is hidden or belongs to the operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def walk(root, left_out):
    """List all files of a folder and its subfolders, not only photos.

    Hidden files and folders are skipped, and also folders in which operating
    systems keep thumbnails and deleted files. A link to a folder is followed
    after all other folders, and only if its target was not read before. So
    there are no endless loops, and a photo that can be reached with and without
    a link is listed once, without the link.

    Args:
        root: the folder. It is read even if it is hidden itself.
        left_out: a LeftOut, to which skipped photos and folders are added.

    Yields:
        (path, name): a path with slashes and the file's name, both as text. The
        files of `root` come first, then those of its subfolders, and so on;
        within a folder, files are sorted by name.
    """
    seen, links = set(), []
    level = [os.fspath(root)]
    while level or links:
        if not level:
            level, links = links, []
        below = []
        for folder in level:
            try:
                real = os.path.realpath(folder)
                if real in seen:
                    left_out.add("links to folders that were read already", folder)
                    continue
                seen.add(real)
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError:  # no permission, or the folder was deleted a moment ago
                left_out.add("folders that cannot be read", folder)
                continue
            if not entries and is_photo(folder):
                left_out.add("empty folders that are named like photos", folder)
            for entry in entries:
                kind = _kind(entry)
                if is_system(entry.name):
                    if kind == "folder":
                        left_out.add("hidden or system folders", entry.path)
                    elif is_photo(entry.name):
                        left_out.add("hidden files", entry.path)
                elif kind == "folder":
                    (links if entry.is_symlink() else below).append(entry.path)
                elif kind == "file":
                    yield entry.path.replace(os.sep, "/"), entry.name
                elif is_photo(entry.name):
                    what = "links to files that do not exist" if entry.is_symlink() else "photos that are no files"
                    left_out.add(what, entry.path)
        level = below


def _kind(entry):
    """Return what an `os.DirEntry` is: "folder", "file", or None for anything else, such as a broken link."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else None
    except OSError:  # a link to itself, or into a folder without permission
        return None


def is_photo(name):
    """Return True if a file's name, a str, ends with the suffix of an image format that can be read."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def find_photos(path, note=lambda line: None):
    """Find the photos of a folder and its subfolders.

    Args:
        path: a folder or a file.
        note: a function that shows a line of text to the user. It is called if files or folders are skipped.

    Returns:
        A sorted list of Path. If `path` is a file, the list has only this file.

    Raises:
        InputError: the path does not exist, or the folder has no photos.
    """
    path, photos, left_out = Path(path), [], LeftOut()
    if not files.is_dir(path):
        if not files.exists(path):
            raise InputError(f"{shorten(path)}: no such file or folder")
        return [path]
    for found, name in walk(path, left_out):
        if is_photo(name):
            photos.append(Path(found))
        elif os.path.splitext(name)[1].lower() in _UNREAD_SUFFIXES:
            left_out.add("photos of unsupported formats; save them as JPEG", found)
    if not photos:
        raise InputError(f"{path}: no photos in this folder" + (f"; {left_out}" if left_out else ""))
    if left_out:
        note(f"{path}: {left_out}")
    return sorted(photos)


def sample_photo():
    """Return the path of an example photo: the public-domain portrait of Grace Hopper in the matplotlib package."""
    # matplotlib is located without importing it, because the import is slow. Some distributions move its data.
    data = Path(importlib.util.find_spec("matplotlib").origin).with_name("mpl-data")
    if not data.exists():
        import matplotlib

        data = Path(matplotlib.get_data_path())
    return data / "sample_data" / "grace_hopper.jpg"
