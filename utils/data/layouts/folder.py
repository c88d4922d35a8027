"""What lies under a dataset's folder: caption files, and photos by name, wherever an archive has put them."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from utils.data.images import is_photo
from utils.data.layouts.coco import file_names
from utils.data.walk import LeftOut, walk


class Folder:
    """A dataset's folder, walked once.

    Args:
        root: the folder.

    Attributes:
        left_out: what `walk` left out; a LeftOut.
        ambiguous: photos of which several files were found.
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
        """How many photos there are."""
        return sum(len(paths) for paths in self._photos.values())

    def photos(self):
        """The paths of all photos, as text."""
        return [path for paths in self._photos.values() for path in paths]

    def find(self, pattern):
        """The files that are no photos and whose names match a pattern, those nearest to the top first."""
        return [Path(path) for path, name in self._others if fnmatchcase(name, pattern)]

    def photo(self, image):
        """The path of an image's file, or None.

        Args:
            image: an Image. Where its name has folders before it, the path must
                end with them; where several folders hold the name, the one that
                the layout expects is taken, else the one nearest to the top.
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
        """A file that is named from the top of the system, or out of the folder, as one's own table may do."""
        path = os.path.join(self.root, file)
        return [path] if (os.path.isabs(file) or ".." in file.split("/")) and os.path.isfile(path) else []
