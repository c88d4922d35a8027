"""The one way to the files of a folder and its subfolders, for photos to caption and for datasets alike."""

import os
from collections import defaultdict

from utils.errors import one_line

# Folders that systems make for themselves: thumbnails, deleted photos, copies. Lower case. Hidden ones need no name.
_SYSTEM = frozenset(
    {
        *("@eadir", "@recycle", "#recycle", "@tmp", "#snapshot", "@recently-snapshot"),  # network storage
        *("$recycle.bin", "recycler", "system volume information"),  # Windows
        *("__macosx", "lost+found"),
    }
)


class LeftOut:
    """What a walk leaves out, counted; `str` is a line that says it, and it is false if there is nothing."""

    def __init__(self):
        self._paths = defaultdict(list)

    def add(self, what, path):
        """Count a path under `what`, a plural such as "hidden files"."""
        self._paths[what].append(path)

    def __bool__(self):
        return bool(self._paths)

    def __str__(self):
        each = [
            f"{len(paths)} {what} ({one_line(os.path.basename(paths[0]))}{', …' if len(paths) > 1 else ''})"
            for what, paths in self._paths.items()
        ]
        return f"left out: {', '.join(each)}"


def is_system(name):
    """Whether a file or folder of this name is hidden or the system's own."""
    return name.startswith(".") or name.lower() in _SYSTEM


def walk(root, is_photo, left_out):
    """All files of a folder and its subfolders, each folder once.

    Hidden files and folders are left out, and those in which systems keep
    thumbnails and deleted files. Links to folders are followed after all others,
    unless they lead to a folder that was walked: so there is no endless loop,
    and a photo has the path that is its own rather than a link's.

    Args:
        root: the folder, whatever its own name.
        is_photo: of a file's name; files that are left out are counted if it is true.
        left_out: a LeftOut, which counts.

    Yields:
        (path with slashes, name), those nearest to the top first, then by name.
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
                left_out.add("links to folders that are here already", folder)
                continue
            seen.add(real)
            try:
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError:
                left_out.add("folders that may not be read", folder)
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
                    left_out.add("links that lead nowhere" if entry.is_symlink() else "no files", entry.path)
        level = below


def _kind(entry):
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else None
    except OSError:  # a link to itself, or into a folder that may not be entered
        return None
