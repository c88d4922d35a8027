"""List the files of a folder and its subfolders, and count the files that are skipped."""

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
    """Collect the files and folders that `walk` skips.

    `str(left_out)` is one line for the user. `bool(left_out)` is False if nothing was skipped.
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
    """Return True if a file or folder with this name is hidden or belongs to the operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def walk(root, is_photo, left_out):
    """List all files of a folder and its subfolders, not only photos. Each folder is read once.

    Hidden files and folders are skipped, and also folders in which operating
    systems keep thumbnails and deleted files. A link to a folder is followed
    after all other folders, and only if its target was not read before. So
    there are no endless loops, and a photo that can be reached with and without
    a link is listed once, without the link.

    Args:
        root: the folder. It is read even if it is hidden itself.
        is_photo: a function that takes a file's name and returns True if the
            file is a photo. It is used for `left_out` only: of the skipped
            files, only photos are added.
        left_out: a LeftOut. Skipped photos and folders are added to it.

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
    """Return "folder", "file", or None for anything else, such as a broken link."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else None
    except OSError:  # a link to itself, or into a folder without permission
        return None
