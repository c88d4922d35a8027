"""Finding the photos and caption files of a dataset, in any subfolder of its folder."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from utils.data.images import is_photo
from utils.data.layouts.coco import file_names
from utils.data.walk import LeftOut, walk


class Folder:
    """The files of a dataset's folder and its subfolders. They are listed once, on creation.

    Args:
        root: the folder.

    Attributes:
        root: the folder, as a Path.
        left_out: a LeftOut with the skipped files and folders.
        ambiguous: the number of images for which `photo` found several files.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.ambiguous = 0
        self.left_out = LeftOut()
        self._photos, self._others = {}, []
        for path, name in walk(self.root, is_photo, self.left_out):
            if is_photo(name):
                self._photos.setdefault(name, []).append(path)
            else:
                self._others.append((path, name))

    def __len__(self):
        """The number of photos."""
        return sum(len(paths) for paths in self._photos.values())

    def photos(self):
        """The paths of all photos, as text."""
        return [path for paths in self._photos.values() for path in paths]

    def find(self, pattern):
        """The files, except photos, whose names match a pattern; those nearest to the top first.

        Args:
            pattern: a name in which `*` stands for any characters.

        Returns:
            A list of Path.
        """
        return [Path(path) for path, name in self._others if fnmatchcase(name, pattern)]

    def photo(self, image):
        """Find the file of an image.

        If the image's name has folders before it, the path must end with the
        same folders. If several files have the name, the one in the layout's
        folder is chosen, else the one nearest to the top.

        Args:
            image: an Image.

        Returns:
            A Path, or None.
        """
        name = image.file.rsplit("/", 1)[-1]
        paths = self._photos.get(name, ())
        if name != image.file:
            paths = [path for path in paths if path.endswith(f"/{image.file}")] or self._outside(image.file)
        if not paths and image.coco_id is not None:
            paths = [path for other in file_names(image.coco_id) for path in self._photos.get(other, ())]
        if len(paths) > 1 and image.folder:
            paths = [path for path in paths if path.rsplit("/", 2)[-2] == image.folder] or paths
        self.ambiguous += len(paths) > 1
        return Path(paths[0]) if paths else None

    def _outside(self, file):
        """The existing file, as a list, that an absolute path or a path with ".." names; else an empty list."""
        path = os.path.join(self.root, file)
        return [path] if (os.path.isabs(file) or ".." in file.split("/")) and os.path.isfile(path) else []
