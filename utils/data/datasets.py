"""Datasets on disk → one table of photos with their split and reference captions."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils import files
from utils.data import layouts, shapes
from utils.data.layouts.captions import SPLITS
from utils.data.layouts.near_names import match_photos
from utils.errors import InputError, shorten

# Their captions are read from files; see utils/layouts. "custom" is one's own photos.
PHOTO_DATASETS = ("flickr8k", "flickr30k", "coco", "custom")


@dataclass(frozen=True, slots=True)
class Photo:
    """A row of the table.

    Args:
        id: names the photo within the table: for COCO its number, else its
            file's name; where datasets are combined, after the dataset's name.
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
        name: as given to `load_dataset`; of several, joined by "+".
        photos: the table.
        notes: what a person should know of it (layout, photos that are missing), a line each.
        missing: Photos whose file is not there; its path is where it might be.
        in_no_split: ids of captioned images that no split holds.
        uncaptioned: paths of photos of which no caption speaks.
        files: that the captions were read from.
    """

    name: str
    photos: list
    notes: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    in_no_split: list = field(default_factory=list)
    uncaptioned: list = field(default_factory=list)
    files: list = field(default_factory=list)

    def split(self, name: str) -> list[Photo]:
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


def load_dataset(name: str, data_dir: str | Path, seed: int = 0, with_photos: bool = True) -> Dataset:
    """Read a dataset, or several as one table.

    In a table of several, ids begin with the dataset's name and a slash.

    Args:
        name: "shapes", "flickr8k", "flickr30k", "coco" or "custom"; several are joined by "+".
        data_dir: its folder, or a list of one for each; `shapes` is drawn into it if need be.
        seed: of the scenes that are drawn.
        with_photos: False to keep the rows whose photo is not there: captions can be scored without.

    Raises:
        InputError: unknown name, nothing there, or a file that makes no sense.
    """
    names = name.split("+")
    if len(names) > 1:
        return _combine([load_dataset(name, folder, seed, with_photos) for name, folder in zip(names, data_dir)])
    if name == "shapes":
        scenes = shapes.load_scenes(Path(data_dir), seed)
        return Dataset(name, [Photo(s.id, s.path, s.split, s.references) for s in scenes])
    if name not in PHOTO_DATASETS:
        raise InputError(f"unknown dataset {name}: choose one of shapes, {', '.join(PHOTO_DATASETS)}")
    return _read_photos(name, Path(data_dir), with_photos)


def _combine(tables):
    """Several tables as one."""
    notes = _keep_held_out(tables)
    whole = Dataset("+".join(table.name for table in tables), [])
    for table in tables:
        whole.photos += [replace(photo, id=f"{table.name}/{photo.id}") for photo in table.photos]
        whole.missing += [replace(photo, id=f"{table.name}/{photo.id}") for photo in table.missing]
        whole.in_no_split += [f"{table.name}/{name}" for name in table.in_no_split]
        whole.notes += [f"{table.name}: {note}" for note in table.notes]
        whole.uncaptioned += table.uncaptioned
        whole.files += table.files
    whole.notes += notes
    return whole


def _keep_held_out(tables):
    """Flickr30k holds most photos of Flickr8k: what one validates or tests on, the other must not train on."""
    by_name = {table.name: table for table in tables}
    if not by_name.keys() >= {"flickr8k", "flickr30k"}:
        return []
    pair = [by_name["flickr8k"], by_name["flickr30k"]]
    before = sum(len(table.photos) for table in pair)
    held_out = [{_flickr_number(photo) for photo in table.photos if photo.split != "train"} for table in pair]
    for table, others in zip(pair, reversed(held_out)):
        table.photos = [p for p in table.photos if p.split != "train" or _flickr_number(p) not in others]
    left_out = before - sum(len(table.photos) for table in pair)
    return [f"{left_out} training photos of one dataset are held out by the other, and are left out"] * bool(left_out)


def _flickr_number(photo):
    """The number Flickr gave a photo; Flickr8k's file names go on after it, Flickr30k's do not."""
    return re.match(r"\d*", photo.id)[0]


def _hash(image_id):
    return int(hashlib.sha256(image_id.encode(errors="surrogateescape")).hexdigest(), 16)


def _split_by_hash(image_id):
    """Train, val or test for photos without a list: 80, 10, 10 %, whatever else is there."""
    share = _hash(image_id) % 10
    return "train" if share < 8 else SPLITS[share - 7]


def _read_photos(name, root, with_photos):
    """A dataset whose captions and photos lie in a folder, in any layout."""
    if not files.is_dir(root):
        raise InputError(f"{shorten(root)}: no such folder; see data/README.md for how to get {name}")
    folder = layouts.Folder(root)
    source = layouts.read_captions(folder, name)
    captions = source.captions
    table = Dataset(name, [], files=captions.files)
    table.notes.append(f"captions from {_some(captions.files)} ({source.layout})")
    if source.others:
        table.notes.append(f"not read, as other captions come before them: {_some(source.others)}")
    if folder.left_out:
        table.notes.append(str(folder.left_out))
    if with_photos and not len(folder):
        left_out = f" ({folder.left_out})" if folder.left_out else ""
        raise InputError(f"{root}: captions but no photos are here{left_out}; see data/README.md")
    _fill(table, captions, folder, with_photos)
    if not captions.images:
        raise InputError(f"{captions.files[0]}: holds no captions; see data/README.md")
    table.notes += _count(table, captions, folder)
    if not table.photos:
        named, here = next(iter(captions.images.values())).file, folder.photos()[0]
        raise InputError(
            f"{root}: none of the {len(captions.images)} captioned photos is here: the captions are of photos like "
            f"{named}, the folder holds {len(folder)} like {Path(here).relative_to(root)}; see data/README.md"
        )
    return table


def _some(paths):
    """Paths in words, of many the first ones."""
    more = f" and {len(paths) - 3} more" if len(paths) > 10 else ""
    return ", ".join(map(str, paths[:3] if more else paths)) + more


def _fill(table, captions, folder, with_photos):
    """Make the rows, split after split, in the order of the captions or lists."""
    rows = {split: [] for split in SPLITS}
    paths, near = match_photos(captions, folder)
    table.notes += near
    for image_id, image in captions.images.items():
        split = image.split
        if split is None and captions.has_splits:
            table.in_no_split.append(image_id)
            continue
        path = paths[image_id]
        if image.captions:
            split = split or _split_by_hash(image_id)
            row = Photo(image_id, path or folder.root / image.file, split, tuple(image.captions))
            rows[row.split].append((row, not with_photos or path is not None))
    if not (captions.has_splits or any(there for _, there in rows["val"])):
        _lend_to_val(table, captions, rows)
    for split in SPLITS:
        table.photos += [row for row, there in rows[split] if there]
        table.missing += [row for row, there in rows[split] if not there]
    captioned = {path for path in paths.values() if path}
    table.uncaptioned = sorted(path for path in folder.photos() if Path(path) not in captioned)


def _lend_to_val(table, captions, rows):
    """Of so few photos that their hashes put none into val, one of train validates; training needs one too."""
    free = [(row, there) for row, there in rows["train"] if there and captions.images[row.id].split is None]
    if free and len(rows["train"]) > 1:
        chosen = max(free, key=lambda each: _hash(each[0].id))
        rows["train"].remove(chosen)
        rows["val"].append((replace(chosen[0], split="val"), True))
        table.notes.append(f"so few photos that no hash chose one for val: {chosen[0].id} is taken from train")


def _count(table, captions, folder):
    """What is not as it should be, a line each."""
    notes = captions.all_notes() + _unsegmented(captions)
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


# Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer; kana, Chinese characters, the rare ones too.
_UNSEGMENTED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]{5}"
)


def _unsegmented(captions):
    """A warning if most captions are written without blanks between words: each would be one word, seen once."""
    texts = [text for image in captions.images.values() for text in image.captions]
    found = [text for text in texts if not text.isascii() and _UNSEGMENTED.search(text)]
    if len(found) <= len(texts) / 2:
        return []
    return [
        f"warning: {len(found)} of {len(texts)} captions have no blanks between words, such as {found[0][:30]}: "
        "words are told by blanks, so a whole caption counts as one word and nothing can be learned. Put blanks "
        "between words first (Chinese: pip install jieba, then ' '.join(jieba.cut(caption))), "
        "or between all characters: ' '.join(caption)"
    ]
