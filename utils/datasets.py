"""Datasets on disk → one table of photos with their split and reference captions."""

import csv
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from utils import shapes
from utils.errors import InputError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Photo:
    """A row of the table.

    Args:
        id: names the photo within its dataset, with its suffix.
        path: the image file.
        split: "train", "val" or "test"; `shapes` also has "unseen".
        references: the captions people gave it.
    """

    id: str
    path: Path
    split: str
    references: tuple


@dataclass
class Dataset:
    """All photos of a dataset that are there.

    Args:
        name: as given to `load_dataset`.
        photos: the table.
        notes: what a person should know of it (layout, photos that are missing), a line each.
    """

    name: str
    photos: list
    notes: list = field(default_factory=list)

    def split(self, name):
        """The photos of one split.

        Raises:
            InputError: the split has none.
        """
        photos = [photo for photo in self.photos if photo.split == name]
        if not photos:
            there = sorted({photo.split for photo in self.photos})
            raise InputError(f"{self.name} has no photos in split {name} (there are: {', '.join(there) or 'none'})")
        return photos


def load_dataset(name, data_dir, seed=0, with_photos=True):
    """Read a dataset.

    Args:
        name: "shapes" or "flickr8k".
        data_dir: its folder; `shapes` is drawn into it if need be.
        seed: of the scenes that are drawn.
        with_photos: False to keep the rows whose photo is not there: captions can be scored without.

    Raises:
        InputError: unknown name, nothing there, or a file that makes no sense.
    """
    readers = {"shapes": _read_shapes, "flickr8k": _read_flickr8k}
    if name not in readers:
        raise InputError(f"unknown dataset {name}: choose one of {', '.join(readers)}")
    return readers[name](Path(data_dir), seed, with_photos)


def _read_shapes(folder, seed, with_photos):
    scenes = shapes.load_scenes(folder, seed)
    return Dataset("shapes", [Photo(s.id, s.path, s.split, s.references) for s in scenes])


def _lines(path):
    """The lines of a text file, numbered from 1."""
    try:
        yield from enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def _read_token_file(path):
    """`name.jpg#0<tab>caption` lines → captions by image."""
    captions = {}
    for number, line in _lines(path):
        match = re.fullmatch(r"(.+)#\d+\t(.*)", line)
        if match:
            captions.setdefault(match[1], []).append(match[2].strip())
        elif line.strip():
            raise InputError(f"{path}, line {number}: expected image#number, a tab and a caption")
    return captions


def _read_csv(path):
    """Kaggle's `image,caption` rows, with CSV's quotes → captions by image."""
    captions = {}
    rows = csv.reader(line for _, line in _lines(path))
    if next(rows, None) != ["image", "caption"]:
        raise InputError(f"{path}, line 1: expected the header image,caption")
    for row in rows:
        if len(row) != 2:
            raise InputError(f"{path}, line {rows.line_num}: expected an image and a caption, found {len(row)} fields")
        captions.setdefault(row[0], []).append(row[1].strip())
    return captions


def _find(folder, pattern):
    """The first file or folder of that name in a folder or the folders in it."""
    return next(iter(sorted(folder.glob(pattern)) + sorted(folder.glob(f"*/{pattern}"))), None)


def _split_by_hash(image_id):
    """Train, val or test for photos without a list: 80, 10, 10 %, whatever else is there."""
    share = int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 10
    return "train" if share < 8 else SPLITS[share - 7]


def _read_flickr8k(folder, seed, with_photos):
    """Hodosh et al., 2013, in its original files or in Kaggle's."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; see data/README.md for how to get flickr8k")
    tokens, table = _find(folder, "Flickr8k.token.txt"), _find(folder, "captions.txt")
    if not tokens and not table:
        raise InputError(f"{folder}: neither Flickr8k.token.txt nor captions.txt is here; see data/README.md")
    captions = _read_token_file(tokens) if tokens else _read_csv(table)
    notes = [f"captions from {tokens or table}"]

    images = _find(folder, "Flick*r8k_Dataset") or _find(folder, "Images")
    if not images and not with_photos:
        images = folder / "Images"
    elif not images:
        raise InputError(f"{folder}: no folder of photos (Flicker8k_Dataset or Images); see data/README.md")
    # Kaggle's and the original archive both hold a folder of the same name again.
    nested = images / images.name
    images = nested if nested.is_dir() else images
    there = {path.name for path in images.iterdir()} if with_photos else captions.keys()

    splits, photos = {}, []
    for split, official in zip(SPLITS, ("train", "dev", "test")):
        listing = _find(folder, f"Flickr_8k.{official}Images.txt")
        if listing:
            splits |= {line.strip(): split for _, line in _lines(listing) if line.strip()}
    if not splits:
        splits = {image_id: _split_by_hash(image_id) for image_id in captions if image_id in there}
        notes.append("no split lists: photos divided 80/10/10 by a hash of their names")
    for split in SPLITS:
        listed = [image_id for image_id, other in splits.items() if other == split]
        photos += [Photo(i, images / i, split, tuple(captions[i])) for i in listed if i in there and i in captions]
        absent = sum(image_id not in there for image_id in listed)
        if absent:
            notes.append(f"{absent} of {len(listed)} photos of split {split} are not in {images}")
        mute = sum(image_id not in captions for image_id in listed)
        if mute:
            notes.append(f"{mute} photos of split {split} have no caption")
    left = len(captions.keys() - splits.keys())
    if left:
        notes.append(f"{left} captioned images are in no split and are left out")
    if not photos:
        raise InputError(f"{images}: none of the {len(splits)} photos in the split lists is here")
    return Dataset("flickr8k", photos, notes)
