"""Photos whose names in a table are nearly, but not quite, those of their files.

Tables come from other machines: with names in another case or Unicode form,
without the suffix or with that of another format, or with folders that are not
here, as `D:/photos/dog.jpg`. Such a name is matched if it can mean one photo only.
"""

import os
import unicodedata
from collections import defaultdict
from pathlib import Path

from utils.data.images import SUFFIXES

# What photos may have been called before they were converted.
_SUFFIXES = SUFFIXES | {".heic", ".heif", ".avif"}


def match_photos(captions, folder):
    """Find the photo of every image, first by its very name, then by nearly the same.

    Images of which all captions belong to one photo, since their names differ
    in case, Unicode form or a missing suffix alone, become one.

    Args:
        captions: a Captions; its images may become fewer.
        folder: a Folder.

    Returns:
        The Path, or None, by image id; and notes for a person, a line each.
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
        if owner is None and len(same) < len(others):  # folders of the same photo's name: it could be any one's
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
            f"{len(matched)} names are nearly those of photos (another case, suffix or folder) and are taken "
            f"for them, such as {name} for {path.name}"
        )
    if ambiguous:
        notes.append(
            f"{len(ambiguous)} names could each mean several photos, or several of them the same one, and are "
            f"taken for none, such as {ambiguous[0]}"
        )
    return notes


def _merge(captions, first, other):
    image, gone = captions.images[first], captions.images.pop(other)
    image.captions += gone.captions
    image.split = image.split or gone.split


def folded(name):
    """A name in one Unicode form and without regard to case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _stem(name):
    """A folded name without the suffix of a photo."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix in _SUFFIXES else name


def _is_same(image, other):
    """Whether names differ in case, Unicode form or a missing suffix alone, and splits do not."""
    names = folded(image.file), folded(other.file)
    lacking = any(_stem(name) == name for name in names) and _stem(names[0]) == _stem(names[1])
    return (names[0] == names[1] or lacking) and (not image.split or not other.split or image.split == other.split)


class _Index:
    """Paths by the folded last part, with and without its suffix."""

    def __init__(self, paths):
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for path in paths:
            name = folded(path).rsplit("/", 1)[-1]
            self._by_name[name].append(path)
            self._by_stem[_stem(name)].append(path)

    def find(self, file):
        """The paths that a name nearly is: of several, those whose last folders are also its own."""
        *folders, name = folded(file).split("/")
        found = self._by_name.get(name) or self._by_stem.get(_stem(name), ())
        if len(found) < 2:
            return found
        shared = [_shared(folders, folded(path).split("/")[:-1]) for path in found]
        return [path for path, count in zip(found, shared) if count == max(shared)]


def _shared(folders, others):
    """How many folders two paths share at their ends."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others)):
        if one != other:
            break
        count += 1
    return count
