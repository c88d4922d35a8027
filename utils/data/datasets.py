"""Read a dataset from disk: a list of photos, each with its split and its captions."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils import files
from utils.data import layouts, shapes
from utils.data.layouts.captions import SPLITS
from utils.data.layouts.near_names import match_photos
from utils.errors import InputError, one_line, shorten

# Datasets whose captions are read from files; see utils/data/layouts. "custom" is the user's own photos.
PHOTO_DATASETS = ("flickr8k", "flickr30k", "coco", "custom")


@dataclass(frozen=True, slots=True)
class Photo:
    """Store what is known about one photo of a dataset.

    Args:
        id: an identifier that is unique in the dataset. It is the photo's number in COCO as text; in
            other datasets, the file's name. If datasets are combined, the id begins with the dataset's
            name and a slash.
        path: the image file.
        split: "train", "val" or "test". The dataset `shapes` also has the split "unseen".
        references: a tuple of captions that people wrote; in the dataset `shapes`, generated captions.
    """

    id: str
    path: Path
    split: str
    references: tuple


@dataclass
class Dataset:
    """Store the photos of a dataset, or of several combined datasets.

    Args:
        name: the dataset's name; for several datasets, their names joined by "+".
        photos: a list of the Photos whose files exist.
        notes: lines for the user, for example about missing photos.
        missing: a list of the Photos whose files do not exist. Their `path` is where the file is expected.
        in_no_split: ids of captioned images that belong to no split.
        uncaptioned: paths of photos without captions, as text.
        files: paths of the files from which the captions were read.
    """

    name: str
    photos: list
    notes: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    in_no_split: list = field(default_factory=list)
    uncaptioned: list = field(default_factory=list)
    files: list = field(default_factory=list)

    def split(self, name: str) -> list[Photo]:
        """Select the photos of one split.

        Args:
            name: the split, such as "val".

        Returns:
            A list of Photo.

        Raises:
            InputError: the split has no photos.
        """
        photos = [photo for photo in self.photos if photo.split == name]
        if not photos:
            there = sorted({photo.split for photo in self.photos})
            raise InputError(
                f"{self.name} has no photos in split {name} (there are: {', '.join(there) or 'none'})"
                + ("; captions.csv may have a column split, see data/README.md" if self.name == "custom" else "")
            )
        return photos


def load_dataset(name: str, data_dir: str | Path, seed: int = 0, with_photos: bool = True) -> Dataset:
    """Read a dataset, or read several datasets and combine them.

    If several are combined, a photo's id begins with the dataset's name and a slash.

    Args:
        name: "shapes", "flickr8k", "flickr30k", "coco" or "custom", or several of them joined by "+".
        data_dir: the dataset's folder; for several datasets, a list of folders.
            The scenes of `shapes` are generated there if they do not exist.
        seed: the random seed of the scenes of `shapes`.
        with_photos: True if the Dataset's list `photos` must have only photos whose files
            exist. False if it must have all photos: to score captions, no files are needed.

    Returns:
        A Dataset.

    Raises:
        InputError: the name is unknown, the folder has no captions or no
            photos, or a caption file has an unknown form.
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
    """Combine several datasets into one. The ids of its photos begin with the name of their dataset and a slash.

    Args:
        tables: a list of Dataset.

    Returns:
        A Dataset.
    """
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
    """Remove each training photo of Flickr8k that Flickr30k uses for validation or test, and the other way round.

    Flickr30k contains most photos of Flickr8k.

    Args:
        tables: a list of Dataset. If Flickr8k and Flickr30k are in it, their lists `photos` are changed.

    Returns:
        A list with a line for the user, or an empty list.
    """
    by_name = {table.name: table for table in tables}
    if not by_name.keys() >= {"flickr8k", "flickr30k"}:
        return []
    pair = [by_name["flickr8k"], by_name["flickr30k"]]
    before = sum(len(table.photos) for table in pair)
    held_out = [{_flickr_number(photo) for photo in table.photos if photo.split != "train"} for table in pair]
    for table, others in zip(pair, reversed(held_out)):
        table.photos = [p for p in table.photos if p.split != "train" or _flickr_number(p) not in others]
    left_out = before - sum(len(table.photos) for table in pair)
    note = f"{left_out} training photos are skipped: they are validation or test photos of the other dataset"
    return [note] * bool(left_out)


def _flickr_number(photo):
    """Return the number of a Photo on Flickr, as text. File names in Flickr8k and Flickr30k begin with this number."""
    return re.match(r"\d*", photo.id)[0]


def _hash(image_id):
    """Compute a hash, an int, from a photo's id. The result is the same on all machines."""
    return int(hashlib.sha256(image_id.encode(errors="surrogateescape")).hexdigest(), 16)


def _split_by_hash(image_id):
    """Choose the split of a photo whose split is unknown: "train", "val" or "test" with 80, 10 and 10 %.

    The split depends only on the photo's id. So it stays the same if other photos are added.
    """
    share = _hash(image_id) % 10
    return "train" if share < 8 else SPLITS[share - 7]


def _read_photos(name, root, with_photos):
    """Read a dataset whose captions and photos are in a folder.

    Args:
        name: "flickr8k", "flickr30k", "coco" or "custom".
        root: the folder, a Path.
        with_photos: True if the Dataset's list `photos` must have only photos whose files exist; False for all photos.

    Returns:
        A Dataset.

    Raises:
        InputError: the folder has no captions or no photos, or a caption file has an unknown form.
    """
    if not files.is_dir(root):
        how = "" if name == "custom" else f"python prepare.py {name} fetches it; "
        raise InputError(f"{shorten(root)}: no such folder; {how}data/README.md says how to get {name}")
    folder = layouts.Folder(root)
    source = layouts.read_captions(folder, name)
    captions = source.captions
    table = Dataset(name, [], files=captions.files)
    table.notes.append(f"captions from {_join_few(captions.files)} ({source.layout})")
    if source.others:
        table.notes.append(f"not read, because another caption file comes first: {_join_few(source.others)}")
    if folder.left_out:
        table.notes.append(str(folder.left_out))
    if with_photos and not len(folder):
        left_out = f" ({folder.left_out})" if folder.left_out else ""
        raise InputError(f"{root}: the folder has captions but no photos{left_out}; see data/README.md")
    _fill(table, captions, folder, with_photos)
    if not captions.images:
        raise InputError(f"{captions.files[0]}: the file has no captions; see data/README.md")
    table.notes += _gaps(table, captions, folder)
    if not any(image.captions for image in captions.images.values()):
        said = "; ".join(captions.all_notes())
        raise InputError(f"{captions.files[0]}: no photo has a caption{f' ({said})' if said else ''}")
    if not table.photos:
        named, here = next(iter(captions.images.values())).file, folder.photos()[0]
        raise InputError(
            f"{root}: none of the {len(captions.images)} captioned photos is here: captions name photos like "
            f"{named}, the folder has {len(folder)} photos like {Path(here).relative_to(root)}; see data/README.md"
        )
    return table


def _join_few(paths):
    """Join a list of paths by commas. Of more than ten paths, only the first three and the number of others are named.

    Returns a str.
    """
    more = f" and {len(paths) - 3} more" if len(paths) > 10 else ""
    return ", ".join(map(one_line, paths[:3] if more else paths)) + more


def _fill(table, captions, folder, with_photos):
    """Add the photos to an empty Dataset, one split after the other.

    Within a split, the photos are in the order of `captions.images`.

    Args:
        table: the Dataset to fill.
        captions: a `Captions` object, which stores the content of the dataset's caption files.
        folder: a Folder, the list of the dataset's files.
        with_photos: True if the list `table.photos` must have only photos whose files exist; False for all photos.
    """
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
    """Move one training photo to the split val, which is empty because the dataset has few photos.

    The photo is one whose split the caption files do not say. If there is no such photo, or if it is the only training
    photo, nothing changes.

    Args:
        table: the Dataset, which gets a note for the user.
        captions: a `Captions` object, which stores the content of the dataset's caption files.
        rows: a dict from each split to a list of (Photo, True if its file exists). The dict is changed.
    """
    free = [(row, there) for row, there in rows["train"] if there and captions.images[row.id].split is None]
    if free and len(rows["train"]) > 1:
        chosen = max(free, key=lambda each: _hash(each[0].id))
        rows["train"].remove(chosen)
        rows["val"].append((replace(chosen[0], split="val"), True))
        table.notes.append(f"too few photos for a validation split by hash: {chosen[0].id} is moved from train to val")


def _gaps(table, captions, folder):
    """Write lines for the user about what a dataset lacks, such as "12 photos of split val have no caption".

    Args:
        table: the Dataset.
        captions: a `Captions` object, which stores the content of the dataset's caption files.
        folder: a Folder, the list of the dataset's files.

    Returns:
        A list of str.
    """
    notes = captions.all_notes() + _unsegmented(captions)
    hashed = sum(image.split is None for image in captions.images.values())
    if hashed and not captions.has_splits:
        which = "" if hashed == len(captions.images) else f" for {hashed} photos"
        notes.append(f"no split is given{which}: photos are divided 80/10/10 % by a hash of their names")
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
        notes.append(f"{len(table.in_no_split)} captioned images are in no split and are skipped")
    if folder.ambiguous:
        notes.append(f"{folder.ambiguous} photos are in several folders; the one nearest to the top is used")
    return notes


# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese kana, Chinese characters (rare ones, too).
_UNSEGMENTED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]{5}"
)


def _unsegmented(captions):
    """Warn if most captions have no spaces between words, as in Chinese. Each such caption would count as one word.

    Args:
        captions: a `Captions` object, which stores the content of the dataset's caption files.

    Returns:
        A list with one line for the user, the warning. It is empty if there is nothing to warn of.
    """
    texts = [text for image in captions.images.values() for text in image.captions]
    found = [text for text in texts if not text.isascii() and _UNSEGMENTED.search(text)]
    if len(found) <= len(texts) / 2:
        return []
    return [
        f"warning: {len(found)} of {len(texts)} captions have no spaces between words, such as {found[0][:30]}: "
        "a whole caption counts as one word, so nothing can be learned. Put spaces between the words "
        "(Chinese: pip install jieba, then ' '.join(jieba.cut(caption))) or between all characters: ' '.join(caption)"
    ]
