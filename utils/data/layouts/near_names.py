"""Find photos whose file names differ slightly from the names in a caption file.

In a caption file from another machine, letters of a name can be upper or lower
case, or have another Unicode form. The suffix can be missing or different. There
can be folders that do not exist on this machine, as in `D:/photos/dog.jpg`. The
name can be a web address, or have percent signs as in addresses: `my%20dog.jpg`.
Such a name is accepted if it fits exactly one photo.
"""

import os
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

from utils.data.photo_files import SUFFIXES


def match_photos(captions, folder):
    """Find the photo of each image in the caption files, first by the exact name, then by a similar one.

    If the names of two images fit the same photo and differ only in case,
    Unicode form or a missing suffix, the two are merged to one image.

    Args:
        captions: a `Captions` object, which stores the content of the caption files. Merged images are removed from it.
        folder: a Folder, the list of the dataset's files.

    Returns:
        (paths, notes): a dict from the id of each image to the Path of its photo, or
        to None if the photo is missing; and a list of lines for the user.
    """
    paths = {image_id: folder.photo(image) for image_id, image in captions.images.items()}
    missing = [image_id for image_id, path in paths.items() if path is None]
    if not missing or not len(folder):
        return paths, []
    index, claims, ambiguous, matched = _Index(folder.photos()), defaultdict(list), [], []
    for image_id in missing:
        found = index.find(captions.images[image_id].file)
        if len(found) == 1:
            claims[Path(found[0])].append(image_id)
        ambiguous += [image_id] * (len(found) > 1)
    owners = {path: image_id for image_id, path in paths.items() if path}
    for path, names in claims.items():
        owner = owners.get(path)
        first = owner or names[0]
        others = [name for name in names if name != first]
        same = [name for name in others if _is_same(captions.images[first], captions.images[name])]
        if owner is None and len(same) < len(others):  # several names with different folders fit the photo
            ambiguous += names
            continue
        paths[first] = path
        matched += [(name, path) for name in names if name in (first, *same)]
        for name in same:
            _merge(captions, first, name)
            del paths[name]
    return paths, _notes(matched, ambiguous)


def _notes(matched, ambiguous):
    notes = []
    if matched:
        name, path = matched[0]
        notes.append(
            f"{len(matched)} names differ from those of photos only in case, suffix or folder and are matched, such "
            f"as {name} with {path.name}"
        )
    if ambiguous:
        notes.append(
            f"{len(ambiguous)} names are not matched, because each fits several photos, or several names fit one "
            f"photo, such as {ambiguous[0]}"
        )
    return notes


def _merge(captions, first, other):
    """Merge two images that are the same photo: `first` gets the captions of `other`, and `other` is removed.

    Args:
        captions: a `Captions` object that has both images.
        first, other: the ids of the images, each a str.
    """
    image, gone = captions.images[first], captions.images.pop(other)
    image.captions += gone.captions
    image.split = image.split or gone.split


def folded(name):
    """Convert a name to lower case and to one Unicode form, so that names can be compared. Returns a str."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(name):
    """Return a lower-case file name without a photo's suffix such as ".jpg". Other suffixes are kept."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix in SUFFIXES else name


def _is_same(image, other):
    """Return True if two Images from a caption file are the same photo, written differently.

    Their file names may differ only in case, Unicode form or a missing suffix. Their splits must be the same,
    unless one of them has no split.
    """
    names = folded(image.file), folded(other.file)
    lacking = any(_stem(name) == name for name in names) and _stem(names[0]) == _stem(names[1])
    return (names[0] == names[1] or lacking) and (not image.split or not other.split or image.split == other.split)


class _Index:
    """Find paths by file names, regardless of case, Unicode form and suffix.

    Args:
        paths: a list of paths, each a str with slashes.
    """

    def __init__(self, paths):
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for path in paths:
            name = folded(path).rsplit("/", 1)[-1]
            self._by_name[name].append(path)
            self._by_stem[_stem(name)].append(path)

    def find(self, file):
        """Find the paths whose file name is similar to a given one.

        Paths with the same suffix are preferred. If there are several, only
        those are returned whose folders agree best with the folders in `file`.

        Args:
            file: a file name, perhaps with folders before it, a str.

        Returns:
            A list or tuple of paths as str; empty if there are none.
        """
        *folders, name = folded(file).split("/")
        plain = folded(unquote(re.sub(r"[?#].*", "", file))).rsplit("/", 1)[-1]
        found = next((found for each in dict.fromkeys((name, plain)) if (found := self._named(each))), ())
        if len(found) < 2:
            return found
        shared = [_shared(folders, folded(path).split("/")[:-1]) for path in found]
        return [path for path, count in zip(found, shared) if count == max(shared)]

    def _named(self, name):
        # The second covers `dog.jpg.jpg` on disk: Windows hides suffixes, so people add another one.
        return self._by_name.get(name) or self._by_stem.get(name) or self._by_stem.get(_stem(name), ())


def _shared(folders, others):
    """Count how many folders two paths share, counted from their ends. Each path is a list of folder names."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others)):
        if one != other:
            break
        count += 1
    return count
