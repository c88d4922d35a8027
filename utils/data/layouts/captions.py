"""What caption files say, in the one form that every reader of a layout gives it."""

import re
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")

# What the layouts call the splits; `restval` are the photos of COCO's val2014
# that Karpathy's split of 2015 trains on.
_NAMES = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test",
}  # fmt: skip


# What people call the column of the photos' names and that of the captions; the first one that is there counts.
_IMAGE_COLUMNS = (
    "image", "image_name", "filename", "file_name", "image_file", "photo", "file", "image_path", "file_path",
    "filepath", "path", "photo_name", "photo_path", "img", "img_name", "img_path", "name", "image_id",
)  # fmt: skip
_CAPTION_COLUMNS = ("caption", "text", "comment", "description", "sentence")


def split_of_word(word):
    """Train, val or test if a word such as a folder's name stands for one of them, else None."""
    return _NAMES.get(word.lower())


def image_column(names):
    """The column of the photos' names, or None.

    Args:
        names: of the columns, as `column_name` gives them.
    """
    return next((name for name in _IMAGE_COLUMNS if name in names), None)


def caption_columns(names):
    """The columns of captions: `caption`, or `caption1`, `caption2` and so on; empty if there are none."""
    for word in _CAPTION_COLUMNS:
        columns = [name for name in names if re.fullmatch(rf"{word}s?[_.]?\d*", name)]
        if columns:
            return columns
    return []


def column_name(name):
    """A column's name in small letters, with underscores for blanks."""
    return re.sub(r"[\s-]+", "_", name.strip().strip('"').strip().lower())


def split_name(name, wrong):
    """Train, val or test, whatever the layout calls it; None where nothing stands.

    Args:
        name: as it stands in the file.
        wrong: called with a message, returns the error that names the place.
    """
    if name is None or (isinstance(name, str) and not name.strip()):
        return None
    known = isinstance(name, str) and _NAMES.get(name.strip().lower())
    if not known:
        raise wrong(f"unknown split {str(name)[:40]!r}: train, val or test")
    return known


def reader(read_into):
    """A function that reads one file into new Captions.

    Args:
        read_into: called with Captions and the path, adds the file to them.

    Returns:
        A function from path to Captions. It raises InputError, with file and
        line, where the file has another form.
    """

    def read(path):
        captions = Captions(path)
        read_into(captions, path)
        return captions

    return read


@dataclass(slots=True)
class Image:
    """An image of which a caption file speaks.

    Args:
        file: its file's name, perhaps with folders before it.
        folder: the folder it should be in, where the layout says so.
        coco_id: its number in COCO, under which its file is found whatever its name.
        split: "train", "val", "test", or None where the files give none.
        captions: what people wrote of it.
    """

    file: str
    folder: str | None = None
    coco_id: int | None = None
    split: str | None = None
    captions: list = field(default_factory=list)


class Captions:
    """All that the caption files of a dataset say.

    Args:
        files: that were read.

    Attributes:
        images: Image by id, in the order of the files.
        dataset: which one the files say that they hold, if they do.
        notes: what a person should know, a line each.
        empty: how many captions are blank.
        has_splits: whether the files divide the images; then one without a split is in none.
    """

    def __init__(self, *files):
        self.files = list(files)
        self.images = {}
        self.dataset = None
        self.notes = []
        self.has_splits = False
        self.empty = 0

    def image(self, image_id):
        """The Image of that id; it is made if need be, its file named by the id."""
        return self.images.get(image_id) or self.images.setdefault(image_id, Image(image_id))

    def add_image(self, image_id, image, wrong):
        """Add an Image. A second one of the same id is an error.

        Args:
            image_id: its id.
            image: the Image.
            wrong: called with a message, returns the error that names the place.
        """
        if image_id in self.images:
            raise wrong(f"image {image_id} appears twice")
        self.images[image_id] = image

    def add(self, image_id, text):
        """A caption of an image, in the form of `text.caption_text`; an empty one is counted and left out."""
        captions = self.image(image_id).captions
        if text:
            captions.append(text)
        else:
            self.empty += 1

    def put_in_split(self, image_id, split, wrong):
        """Note the split of an image; None says nothing. A second, other split is an error."""
        image = self.image(image_id)
        if split and image.split and split != image.split:
            raise wrong(f"{image_id} is in split {image.split} too")
        image.split = image.split or split

    def all_notes(self):
        """The notes, and how many captions are empty."""
        empty = f"{self.empty} empty captions are left out"
        return [*self.notes, *([empty] if self.empty else [])]
