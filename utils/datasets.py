"""Datasets on disk → one table of photos with their split and reference captions."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils import layouts, shapes
from utils.errors import InputError
from utils.layouts.captions import SPLITS

# Their captions are read from files; see utils/layouts. "custom" is one's own photos.
PHOTO_DATASETS = ("flickr8k", "flickr30k", "coco", "custom")


@dataclass(frozen=True, slots=True)
class Photo:
    """A row of the table.

    Args:
        id: names the photo within the table: for COCO its number, else its
            file's name; where datasets are combined, with the dataset before it.
        path: the image file.
        split: "train", "val" or "test"; `shapes` also has "unseen".
        references: the captions people gave it.
        dataset: that it belongs to.
        name: its id within that dataset.
    """

    id: str
    path: Path
    split: str
    references: tuple
    dataset: str
    name: str


@dataclass
class Dataset:
    """All photos of a dataset that are there.

    Args:
        name: as given to `load_dataset`; of several, joined by "+".
        photos: the table.
        notes: what a person should know of it (layout, photos that are missing), a line each.
        missing: Photos whose file is not there; its path is where it might be.
        in_no_split: ids of captioned images that no split holds.
        files: that the captions were read from.
    """

    name: str
    photos: list
    notes: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    in_no_split: list = field(default_factory=list)
    files: list = field(default_factory=list)

    def split(self, name):
        """The photos of one split.

        Raises:
            InputError: the split has none.
        """
        photos = [photo for photo in self.photos if photo.split == name]
        if not photos:
            there = sorted({photo.split for photo in self.photos})
            raise InputError(
                f"{self.name} has no photos in split {name} (there are: {', '.join(there) or 'none'})"
                + ("; a split can be given with every caption, see data/README.md" if self.name == "custom" else "")
            )
        return photos


def load_dataset(name, data_dir, seed=0, with_photos=True):
    """Read a dataset.

    Args:
        name: "shapes", "flickr8k", "flickr30k", "coco" or "custom".
        data_dir: its folder; `shapes` is drawn into it if need be.
        seed: of the scenes that are drawn.
        with_photos: False to keep the rows whose photo is not there: captions can be scored without.

    Raises:
        InputError: unknown name, nothing there, or a file that makes no sense.
    """
    if name == "shapes":
        scenes = shapes.load_scenes(Path(data_dir), seed)
        return Dataset(name, [Photo(s.id, s.path, s.split, s.references, name, s.id) for s in scenes])
    if name not in PHOTO_DATASETS:
        raise InputError(f"unknown dataset {name}: choose one of shapes, {', '.join(PHOTO_DATASETS)}")
    return _read_photos(name, Path(data_dir), with_photos)


def load_datasets(names, data_dirs, seed=0):
    """Read one dataset, or several as one table.

    In a table of several, ids begin with the dataset's name. Flickr30k holds
    most photos of Flickr8k: those that one of them validates or tests on are
    left out of the training photos of the other.

    Args:
        names: of the datasets, each once.
        data_dirs: their folders, in the same order.
        seed: as for `load_dataset`.

    Raises:
        InputError: as `load_dataset`, or a name given twice.
    """
    if len(names) == 1:
        return load_dataset(names[0], data_dirs[0], seed)
    if len(set(names)) < len(names):
        raise InputError(f"--dataset {' '.join(names)}: every dataset once; put both folders into one")
    tables = [load_dataset(name, data_dir, seed) for name, data_dir in zip(names, data_dirs)]
    whole = Dataset("+".join(names), [])
    for table in tables:
        whole.photos += [replace(photo, id=f"{table.name}/{photo.id}") for photo in table.photos]
        whole.missing += [replace(photo, id=f"{table.name}/{photo.id}") for photo in table.missing]
        whole.in_no_split += [f"{table.name}/{name}" for name in table.in_no_split]
        whole.notes += [f"{table.name}: {note}" for note in table.notes]
        whole.files += table.files
    _keep_held_out(whole)
    return whole


def _keep_held_out(table):
    """Take photos out of training that the other of Flickr8k and Flickr30k holds out."""
    held_out = {(_flickr_number(photo), photo.dataset) for photo in table.photos if photo.split != "train"}
    other = {"flickr8k": "flickr30k", "flickr30k": "flickr8k"}
    leaking = {
        photo.id
        for photo in table.photos
        if photo.split == "train" and (_flickr_number(photo), other.get(photo.dataset)) in held_out
    }
    if leaking:
        table.photos = [photo for photo in table.photos if photo.id not in leaking]
        table.notes.append(f"{len(leaking)} training photos are held out by the other dataset, and are left out")


def _flickr_number(photo):
    """The number Flickr gave a photo; Flickr8k's file names go on after it, Flickr30k's do not."""
    return re.match(r"\d*", photo.name)[0]


def _split_by_hash(image_id):
    """Train, val or test for photos without a list: 80, 10, 10 %, whatever else is there."""
    share = int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 10
    return "train" if share < 8 else SPLITS[share - 7]


def _read_photos(name, root, with_photos):
    """A dataset whose captions and photos lie in a folder, in any layout."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; see data/README.md for how to get {name}")
    folder = layouts.Folder(root)
    source = layouts.read_captions(folder, name)
    captions = source.captions
    table = Dataset(name, [], files=captions.files)
    table.notes.append(f"captions from {', '.join(map(str, captions.files))} ({source.layout})")
    if source.others:
        table.notes.append(f"not read, as other captions come before them: {', '.join(map(str, source.others))}")
    if with_photos and not len(folder):
        raise InputError(f"{root}: captions but no photos are here; see data/README.md")
    _fill(table, captions, folder, with_photos)
    table.notes += _count(table, captions, folder)
    if not table.photos:
        raise InputError(f"{root}: none of the {len(captions.images)} captioned photos is here; see data/README.md")
    return table


def _fill(table, captions, folder, with_photos):
    """Make the rows, split after split, in the order of the captions or lists."""
    rows = {split: [] for split in SPLITS}
    for image_id, image in captions.images.items():
        split = image.split
        if split is None and captions.has_splits:
            table.in_no_split.append(image_id)
            continue
        path = folder.photo(image)
        if image.captions:
            row = Photo(
                image_id, path or folder.root / image.file, split or _split_by_hash(image_id), tuple(image.captions),
                table.name, image_id,
            )  # fmt: skip
            rows[row.split].append((row, not with_photos or path is not None))
    for split in SPLITS:
        table.photos += [row for row, there in rows[split] if there]
        table.missing += [row for row, there in rows[split] if not there]


def _count(table, captions, folder):
    """What is not as it should be, a line each."""
    notes = captions.all_notes()
    hashed = sum(image.split is None for image in captions.images.values())
    if hashed and not captions.has_splits:
        every = "" if hashed == len(captions.images) else f"of {hashed} "
        notes.append(f"no split {every}given: photos divided 80/10/10 by a hash of their names")
    for split in SPLITS:
        absent = [photo.id for photo in table.missing if photo.split == split]
        if absent:
            listed = len(absent) + sum(photo.split == split for photo in table.photos)
            example = f", such as {absent[0]}" if len(absent) < listed else ""
            notes.append(f"{len(absent)} of {listed} photos of split {split} are not in {folder.root}{example}")
        mute = sum(image.split == split and not image.captions for image in captions.images.values())
        if mute:
            notes.append(f"{mute} photos of split {split} have no caption")
    if table.in_no_split:
        notes.append(f"{len(table.in_no_split)} captioned images are in no split and are left out")
    if folder.ambiguous:
        notes.append(f"{folder.ambiguous} photos lie in several folders; the one nearest to the top is taken")
    return notes
