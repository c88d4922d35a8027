"""Listing the files of a folder and its subfolders, for photos to caption and for datasets."""

import os
from collections import defaultdict

from utils.errors import one_line

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
    """A count of the files and folders that `walk` skipped.

    `str` gives one line for the user. `bool` is False if nothing was skipped.
    """

    def __init__(self):
        self._paths = defaultdict(list)

    def add(self, what, path):
        """Count a path.

        Args:
            what: the reason, as a plural noun such as "hidden files".
            path: the path that is skipped.
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
    """Whether a file or folder of this name is hidden or belongs to the operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def walk(root, is_photo, left_out):
    """The files of a folder and its subfolders. Each folder is read once.

    Hidden files and folders are skipped, and folders in which systems keep
    thumbnails and deleted files. Links to folders are followed last, and only
    if the folder was not read before. So there are no endless loops, and a
    photo has its real path rather than the path of a link.

    Args:
        root: the folder. It is read even if its own name is hidden.
        is_photo: a function from a file's name to True if it is a photo. Other
            skipped files are not counted.
        left_out: a LeftOut, which counts what is skipped.

    Yields:
        (path with slashes, name): files nearest to the top first, then by name.
    """
    seen, links = set(), []
    level = [os.fspath(root)]
    while level or links:
        if not level:
            level, links = links, []
        below = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen:
                left_out.add("links to folders that were read already", folder)
                continue
            seen.add(real)
            try:
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError:
                left_out.add("folders without permission to read", folder)
                continue
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
    """ "folder", "file", or None for anything else, such as a broken link."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else None
    except OSError:  # a link to itself, or into a folder without permission
        return None
