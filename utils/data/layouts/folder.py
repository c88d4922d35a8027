"""Find the photos and the caption files of a dataset in a folder and its subfolders."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from utils.data.layouts.coco import file_names
from utils.data.photo_files import LeftOut, is_photo, walk


class Folder:
    """List the files of a dataset's folder and its subfolders, and find files in this list.

    Args:
        root: the folder. It is read once, when the object is created.

    Attributes:
        root: the folder, as a Path.
        left_out: a LeftOut with the skipped files and folders.
        ambiguous: how many times the method `photo` has found several files for one image.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.ambiguous = 0
        self.left_out = LeftOut()
        self._photos, self._others = {}, []
        for path, name in walk(self.root, self.left_out):
            if is_photo(name):
                self._photos.setdefault(name, []).append(path)
            else:
                self._others.append((path, name))

    def __len__(self):
        """Return the number of photos."""
        return sum(len(paths) for paths in self._photos.values())

    def photos(self):
        """Return the paths of all photos, as a list of str."""
        return [path for paths in self._photos.values() for path in paths]

    def find(self, pattern, any_case=False):
        """Find the files that are not photos and whose names match a pattern.

        Args:
            pattern: a file name in which `*` stands for any characters.
            any_case: True to accept names in upper and lower case; the pattern must then be in lower case.

        Returns:
            A list of Path. Files of the folder itself come before those of subfolders.
        """
        return [Path(path) for path, name in self._others if fnmatchcase(name.lower() if any_case else name, pattern)]

    def photo(self, image):
        """Find the file of an image that a caption file names.

        If `image.file` has folders before the name, the file must be in folders
        of the same names. If several files are found, one in a folder named
        `image.folder` is chosen, else the one with the fewest folders above it.

        Args:
            image: an Image, with the file name that the caption file gives.

        Returns:
            A Path, or None if there is no such file.
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
        """Find a photo that may be outside the dataset's folder, because `file` is an absolute path or contains "..".

        Returns a list with the path of the photo. It is empty for other paths, and if there is no such file.
        """
        path = os.path.join(self.root, file)
        return [path] if (os.path.isabs(file) or ".." in file.split("/")) and os.path.isfile(path) else []
