"""Matching photos with names in a caption file that differ slightly from the names of the photo files.

Caption files from other machines can have names in another case or Unicode form,
without the suffix or with another one, or with folders that do not exist here,
such as `D:/photos/dog.jpg`. Such a name is matched if it fits exactly one photo.
"""

import os
import unicodedata
from collections import defaultdict
from pathlib import Path

from utils.data.images import SUFFIXES

# Suffixes that matching ignores: of photos, and of formats that photos are often converted from.
_SUFFIXES = SUFFIXES | {".heic", ".heif", ".avif"}


def match_photos(captions, folder):
    """Find the photo of each image, first by its exact name, then by a similar one.

    Images whose names differ only in case, Unicode form or a missing suffix,
    and fit the same photo, are merged.

    Args:
        captions: a Captions. Merging removes images from it.
        folder: a Folder.

    Returns:
        The Path, or None, by image id, as a dict; and notes for the user, as a list of lines.
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
        if owner is None and len(same) < len(others):  # names in different folders fit the photo equally well
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
    """Move the captions and the split of image `other` to image `first`."""
    image, gone = captions.images[first], captions.images.pop(other)
    image.captions += gone.captions
    image.split = image.split or gone.split


def folded(name):
    """A name in one Unicode form and in lower case, for comparison."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(name):
    """A folded name without its suffix, if that is a photo's."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix in _SUFFIXES else name


def _is_same(image, other):
    """Whether two Images' names differ only in case, Unicode form or a missing suffix, and their splits agree."""
    names = folded(image.file), folded(other.file)
    lacking = any(_stem(name) == name for name in names) and _stem(names[0]) == _stem(names[1])
    return (names[0] == names[1] or lacking) and (not image.split or not other.split or image.split == other.split)


class _Index:
    """An index of paths by their folded file names, with and without suffix."""

    def __init__(self, paths):
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for path in paths:
            name = folded(path).rsplit("/", 1)[-1]
            self._by_name[name].append(path)
            self._by_stem[_stem(name)].append(path)

    def find(self, file):
        """The paths whose file name is similar to that of `file`. Of several, those that share most folders with it."""
        *folders, name = folded(file).split("/")
        found = self._by_name.get(name) or self._by_stem.get(_stem(name), ())
        if len(found) < 2:
            return found
        shared = [_shared(folders, folded(path).split("/")[:-1]) for path in found]
        return [path for path, count in zip(found, shared) if count == max(shared)]


def _shared(folders, others):
    """The number of equal folders at the ends of two lists of folders."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others)):
        if one != other:
            break
        count += 1
    return count
