"""Define the class `Captions`, which stores the content of caption files, and read words and names in such files."""

import re
from dataclasses import dataclass, field

from utils.data.layouts.text import image_name

SPLITS = ("train", "val", "test")

# From each name of a split in caption files to "train", "val" or "test". Karpathy's split of COCO has `restval`:
# photos of COCO's val2014 that are used for training.
_NAMES = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test",
}  # fmt: skip

# Accepted names of the column with the photos' names, and of the columns with captions. If a table has several of
# these names, the first in the list is used.
_IMAGE_COLUMNS = (
    "image", "image_name", "filename", "file_name", "image_file", "photo", "file", "image_path", "file_path",
    "filepath", "path", "photo_name", "photo_path", "img", "img_name", "img_path", "name", "image_id",
)  # fmt: skip
_CAPTION_COLUMNS = ("caption", "text", "comment", "description", "sentence")


def split_of_word(word):
    """Return the split that a word means: "train", "val", "test", or None for any other word.

    Args:
        word: for example the name of a folder, such as "validation".
    """
    return _NAMES.get(word.lower())


def image_column(names):
    """Find the column of a table in which the file names of the photos are.

    Args:
        names: a list of the names of all columns. They are in lower case, with underscores instead of spaces.

    Returns:
        The name of this column, such as "file_name"; None if there is no such column.
    """
    return next((name for name in _IMAGE_COLUMNS if name in names), None)


def caption_columns(names):
    """Find the columns of a table in which captions are, such as `caption`, or `caption1` and `caption2`.

    Args:
        names: a list of the names of all columns. They are in lower case, with underscores instead of spaces.

    Returns:
        A list of the names of these columns; empty if there are none.
    """
    for word in _CAPTION_COLUMNS:
        columns = [name for name in names if re.fullmatch(rf"{word}s?[_.]?\d*", name)]
        if columns:
            return columns
    return []


def column_name(name):
    """Convert a column's name to lower case, with underscores instead of spaces and hyphens, and without quotes."""
    return re.sub(r"[\s-]+", "_", name.strip().strip('"').strip().lower())


def split_name(name, wrong):
    """Return the split that a value in a file means: "train", "val", "test", or None if the value is empty.

    Args:
        name: the value in the file, such as "validation"; of any type.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

    Raises:
        InputError: the value is not the name of a split.
    """
    if name is None or (isinstance(name, str) and not name.strip()):
        return None
    known = isinstance(name, str) and _NAMES.get(name.strip().lower())
    if not known:
        raise wrong(f"unknown split {str(name)[:40]!r}: write train, val or test")
    return known


def reader(read_into):
    """Turn a function that adds captions to a `Captions` object into a function that returns a new one.

    Args:
        read_into: a function that takes a `Captions` object and a path, and adds the captions of the file to it.

    Returns:
        A function that takes a path and returns a new `Captions` object with the content of the file.
    """

    def read(path):
        captions = Captions(path)
        read_into(captions, path)
        return captions

    return read


@dataclass(slots=True)
class Image:
    """Store what a caption file says about one image.

    Args:
        file: the name of the image file, perhaps with folders before it.
        folder: the expected name of the image's folder, or None if the caption file does not say it.
        coco_id: the image's number in COCO, or None. Other possible file names are made from it.
        split: "train", "val", "test", or None if no caption file says it.
        captions: the image's captions, as a list of str.
    """

    file: str
    folder: str | None = None
    coco_id: int | None = None
    split: str | None = None
    captions: list = field(default_factory=list)


def read_images(document, name, split=None, folder=""):
    """Read the list `images` of a JSON file in COCO's or Karpathy's form.

    Args:
        document: a Document, the parsed JSON file.
        name: the name of the field with the file name of an image.
        split: "train", "val", "test" or None. Images get this split if the file does not say their split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.

    Yields:
        (record, keys, wrong, image) for each image. `record` is the image's dict in the file. `keys` is a tuple of the
        keys and indices that lead from the top of the file to this dict. `wrong` is a function that takes a message and
        returns an InputError that also names the file and the line. `image` is an Image without captions.
    """
    for record, keys, wrong in document.records("images"):
        file = image_name(document.field(record, name, str, *keys), wrong, folder)
        yield record, keys, wrong, Image(file, split=split_name(record.get("split"), wrong) or split)


class Captions:
    """Store the content of a dataset's caption files: the images with their captions and splits.

    Args:
        files: the paths of the caption files.

    Attributes:
        files: the paths as a list.
        images: a dict from the id of each image to its Image, in the order of the files.
        dataset: the name of the dataset that the files mention, or None.
        notes: a list of lines for the user.
        empty: the number of empty captions.
        has_splits: True if the files define splits. An image without a split is then not used.
    """

    def __init__(self, *files):
        self.files = list(files)
        self.images = {}
        self.dataset = None
        self.notes = []
        self.has_splits = False
        self.empty = 0

    def image(self, image_id):
        """Return the Image with this id, a str. If there is none, one is added; its file name is the id."""
        return self.images.get(image_id) or self.images.setdefault(image_id, Image(image_id))

    def add_image(self, image_id, image, wrong):
        """Add an image under an id that is not used yet.

        Args:
            image_id: the image's id.
            image: the Image.
            wrong: a function that takes a message and returns an InputError that also names the file and the line.

        Raises:
            InputError: there is already an image with this id.
        """
        if image_id in self.images:
            raise wrong(f"image {image_id} appears twice")
        self.images[image_id] = image

    def add(self, image_id, text):
        """Add a caption to an image. An empty caption is counted and not added.

        Args:
            image_id: the image's id. If there is no image with this id, one is added.
            text: the caption, a str without line ends and repeated spaces.
        """
        captions = self.image(image_id).captions
        if text:
            captions.append(text)
        else:
            self.empty += 1

    def put_in_split(self, image_id, split, wrong):
        """Set the split of an image.

        Args:
            image_id: the image's id. If there is no image with this id, one is added.
            split: "train", "val", "test", or None, which leaves the split as it is.
            wrong: a function that takes a message and returns an InputError that also names the file and the line.

        Raises:
            InputError: the image is already in another split.
        """
        image = self.image(image_id)
        if split and image.split and split != image.split:
            raise wrong(f"{image_id} is also in split {image.split}")
        image.split = image.split or split

    def all_notes(self):
        """Return what the user must know about the captions that were read, such as skipped rows: a list of str.

        If there are empty captions, the last one says how many.
        """
        empty = f"{self.empty} empty captions are skipped"
        return [*self.notes, *([empty] if self.empty else [])]
