"""The content of caption files, in the form that all readers of layouts return."""

import re
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")

# The layouts' names of the splits. `restval` are photos of COCO's val2014 that
# belong to train in Karpathy's split of 2015.
_NAMES = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test",
}  # fmt: skip

# Accepted names of the column of photo names, and of the columns of captions. The first that a table has counts.
_IMAGE_COLUMNS = (
    "image", "image_name", "filename", "file_name", "image_file", "photo", "file", "image_path", "file_path",
    "filepath", "path", "photo_name", "photo_path", "img", "img_name", "img_path", "name", "image_id",
)  # fmt: skip
_CAPTION_COLUMNS = ("caption", "text", "comment", "description", "sentence")


def split_of_word(word):
    """The split, "train", "val" or "test", that a word such as a folder's name means, or None."""
    return _NAMES.get(word.lower())


def image_column(names):
    """The column of photo names, or None.

    Args:
        names: the names of all columns, as `column_name` returns them.
    """
    return next((name for name in _IMAGE_COLUMNS if name in names), None)


def caption_columns(names):
    """The columns of captions, as a list: `caption`, or `caption1`, `caption2` and so on.

    Args:
        names: the names of all columns, as `column_name` returns them.
    """
    for word in _CAPTION_COLUMNS:
        columns = [name for name in names if re.fullmatch(rf"{word}s?[_.]?\d*", name)]
        if columns:
            return columns
    return []


def column_name(name):
    """A column's name in lower case, with underscores instead of spaces."""
    return re.sub(r"[\s-]+", "_", name.strip().strip('"').strip().lower())


def split_name(name, wrong):
    """The split, "train", "val" or "test", that a value in a file means, or None if the value is empty.

    Args:
        name: the value in the file.
        wrong: a function from a message to an error with file and line.
    """
    if name is None or (isinstance(name, str) and not name.strip()):
        return None
    known = isinstance(name, str) and _NAMES.get(name.strip().lower())
    if not known:
        raise wrong(f"unknown split {str(name)[:40]!r}: write train, val or test")
    return known


def reader(read_into):
    """Make a function that reads one file to new Captions.

    Args:
        read_into: a function of Captions and a path that adds the file to the Captions.

    Returns:
        A function from a path to Captions. It raises InputError, with file and
        line, if the file has another form.
    """

    def read(path):
        captions = Captions(path)
        read_into(captions, path)
        return captions

    return read


@dataclass(slots=True)
class Image:
    """An image that a caption file names.

    Args:
        file: the name of the image file; folders may come before it.
        folder: the expected name of the image's folder, or None if the layout has none.
        coco_id: the image's number in COCO, or None. COCO's file names are found by it.
        split: "train", "val", "test", or None if the files have no split for it.
        captions: the captions, as a list of text.
    """

    file: str
    folder: str | None = None
    coco_id: int | None = None
    split: str | None = None
    captions: list = field(default_factory=list)


class Captions:
    """The content of the caption files of a dataset.

    Args:
        files: the paths of the files.

    Attributes:
        files: the same, as a list.
        images: the Images by id, as a dict in the order of the files.
        dataset: the name of the dataset according to the files, or None.
        notes: lines for the user.
        empty: the number of empty captions.
        has_splits: whether the files define splits. If so, an image without a split is not used.
    """

    def __init__(self, *files):
        self.files = list(files)
        self.images = {}
        self.dataset = None
        self.notes = []
        self.has_splits = False
        self.empty = 0

    def image(self, image_id):
        """The Image with this id. If there is none, it is added, with the id as the name of its file."""
        return self.images.get(image_id) or self.images.setdefault(image_id, Image(image_id))

    def add_image(self, image_id, image, wrong):
        """Add an Image. If its id exists already, the error of `wrong` is raised.

        Args:
            image_id: the image's id.
            image: the Image.
            wrong: a function from a message to an error with file and line.
        """
        if image_id in self.images:
            raise wrong(f"image {image_id} appears twice")
        self.images[image_id] = image

    def add(self, image_id, text):
        """Add a caption to an image. An empty caption is counted and not added.

        Args:
            image_id: the image's id.
            text: the caption, as `text.caption_text` returns it.
        """
        captions = self.image(image_id).captions
        if text:
            captions.append(text)
        else:
            self.empty += 1

    def put_in_split(self, image_id, split, wrong):
        """Set the split of an image. If it has another split already, the error of `wrong` is raised.

        Args:
            image_id: the image's id.
            split: "train", "val", "test", or None, which changes nothing.
            wrong: a function from a message to an error with file and line.
        """
        image = self.image(image_id)
        if split and image.split and split != image.split:
            raise wrong(f"{image_id} is also in split {image.split}")
        image.split = image.split or split

    def all_notes(self):
        """The notes, and the number of empty captions if there are any, as a list of lines."""
        empty = f"{self.empty} empty captions are skipped"
        return [*self.notes, *([empty] if self.empty else [])]
