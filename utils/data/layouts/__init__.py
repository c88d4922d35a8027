"""Find the caption files of a dataset and read them. Each form of caption files that can be read is called a layout.

If a folder has caption files of several layouts, the first of them in `LAYOUTS`
is read. `LAYOUTS` begins with the user's own files. Files with splits come next,
then the files of the dataset's authors, then copies without splits.
"""

import re
from collections import namedtuple

from utils.data.layouts import coco, flickr, karpathy, own_json, tables, text_beside_photos
from utils.data.layouts.captions import Captions, split_of_word
from utils.data.layouts.folder import Folder
from utils.data.layouts.text import printable
from utils.errors import InputError

# A layout: its name for the user, the names of the datasets that can have it, the
# names of its files, and the function that takes a path and returns Captions.
Layout = namedtuple("Layout", "name datasets files read")

_ALL = frozenset({"flickr8k", "flickr30k", "coco", "custom"})

LAYOUTS = (
    Layout("your own table", _ALL, ("captions.csv",), tables.read),
    Layout("your own JSON", _ALL, ("captions.json",), own_json.read),
    Layout("Karpathy's JSON", {"flickr8k"}, ("dataset_flickr8k.json", "dataset.json"), karpathy.read),
    Layout("Karpathy's JSON", {"flickr30k"}, ("dataset_flickr30k.json", "dataset.json"), karpathy.read),
    Layout("Karpathy's JSON", {"coco"}, ("dataset_coco.json", "dataset.json"), karpathy.read),
    Layout("a copy's annotations", {"flickr30k"}, ("flickr_annotations_30k.csv",), flickr.read_annotations_30k),
    Layout("the authors' captions", {"flickr8k"}, ("Flickr8k.token.txt",), flickr.read_token_file),
    Layout("the authors' captions", {"flickr30k"}, ("results_20130124.token",), flickr.read_token_file),
    Layout("COCO's captions", {"coco"}, ("captions_train2017.json", "captions_val2017.json"), coco.read),
    Layout("COCO's captions", {"coco"}, ("captions_train2014.json", "captions_val2014.json"), coco.read),
    Layout("Hugging Face's metadata", {"custom"}, ("metadata.jsonl",), own_json.read),
    Layout("Hugging Face's metadata", {"custom"}, ("metadata.csv",), tables.read),
    Layout("your own JSON", {"custom"}, ("dataset.json", "dataset_*.json", "captions.jsonl"), own_json.read),
    Layout(
        "your own JSON, one file per split",
        {"custom"},
        ("captions_train*.json", "captions_train*.jsonl", "train.json", "train.jsonl"),
        own_json.read,
    ),
    Layout("your own tables, one file per split", {"custom"}, ("captions_train*.csv", "train.csv"), tables.read),
    Layout("your own table", {"custom"}, ("captions.tsv",), tables.read),
    Layout("Kaggle's table", {"flickr8k", "custom"}, ("captions.txt",), tables.read),
    Layout("Kaggle's table", {"flickr30k"}, ("results.csv", "captions.txt"), tables.read),
)

# For "custom", several files can be read into one Captions. A dict from the function that reads a single file to the
# function that adds a file to existing Captions.
_PARTS = {tables.read: tables.read_into, own_json.read: own_json.read_into}

# Suffixes of tables that are not read. Programs can save them as CSV.
_SHEETS = (".xlsx", ".xls", ".ods", ".numbers", ".parquet")

# The result of `read_captions`: the layout's name, the Captions, and the paths of caption files that were not read.
Source = namedtuple("Source", "layout captions others")


def read_captions(folder, dataset):
    """Find and read the caption files of a dataset.

    Args:
        folder: a Folder, the list of the dataset's files.
        dataset: "flickr8k", "flickr30k", "coco" or "custom".

    Returns:
        A Source: the name of the caption files' form, their content, and the paths of caption files that were not read.

    Raises:
        InputError: the folder has no captions, or a caption file has an unknown form.
    """
    layouts = [layout for layout in LAYOUTS if dataset in layout.datasets]
    found = [
        (path, layout)
        for layout in layouts
        for name in layout.files
        for path in folder.find(name, any_case=dataset == "custom")
    ]
    if not found:
        captions = text_beside_photos.read(folder) if dataset == "custom" else None
        if captions and captions.images:
            return Source("text files beside the photos", captions, [])
        names = dict.fromkeys(name for layout in layouts for name in layout.files)
        texts = ", and no text file beside a photo" * (dataset == "custom")
        sheets = [path.name for suffix in _SHEETS for path in folder.find(f"*{suffix}")]
        raise InputError(
            f"{folder.root}: no captions of {dataset} in this folder (none of {', '.join(names)}{texts}); "
            + (f"save {printable(sheets[0])} as captions.csv, or " if sheets else "")
            + "see data/README.md"
        )
    path, layout = found[0]
    if dataset == "custom":
        captions = _read_parts(path, layout, folder)
    else:
        captions = layout.read(path)
        if captions.dataset not in (None, dataset):
            raise InputError(f"{path}: captions of the dataset {str(captions.dataset)[:40]!r}, not of {dataset}")
    others = [path for path, _ in found if path not in captions.files]
    if not any(image.split for image in captions.images.values()):
        _divide(captions, folder, dataset)
    return Source(layout.name, captions, others)


def _read_parts(path, layout, folder):
    """Read a caption file of the user's own photos. If it is for one split, the other splits' files are read, too.

    A file is for one split if its name ends with the name of a split, or if its
    folder has such a name. For example, `captions_train.json` is read together with
    `captions_val.json`, and `train/metadata.csv` with `validation/metadata.csv`.

    Args:
        path: the file, a Path.
        layout: the Layout of the file, which has the function that reads the file.
        folder: a Folder, the list of the dataset's files.

    Returns:
        A `Captions` object, which stores the content of all these files.
    """
    parts = [(path, None, "")]
    match = re.fullmatch(r"(|.*[._-])([a-z]+)(\d*)", path.stem, re.IGNORECASE)
    if match and split_of_word(match[2]):
        names = [(other, re.fullmatch(rf"{re.escape(match[1])}([a-z]+){match[3]}", other.stem, re.IGNORECASE))
                 for other in folder.find(f"*{path.suffix}") if other.parent == path.parent]  # fmt: skip
        parts = [(other, split_of_word(name[1]), "") for other, name in names if name and split_of_word(name[1])]
    elif path.parent != folder.root and split_of_word(path.parent.name):
        files = [file for file in folder.find(path.name) if file.parent.parent == path.parent.parent]
        parts = [(file, split_of_word(file.parent.name), f"{file.parent.name}/") for file in files]
        parts = [part for part in parts if part[1]]
    captions = Captions(*(file for file, _, _ in parts))
    for file, split, prefix in parts:
        _PARTS[layout.read](captions, file, split, prefix)
    return captions


def _divide(captions, folder, dataset):
    """Set the splits of images from files such as `Flickr_8k.trainImages.txt`, which list the images of a split.

    Without such files, nothing is changed.

    Args:
        captions: a `Captions` object, which stores the images and their captions. It is changed.
        folder: a Folder, the list of the dataset's files.
        dataset: the name of the dataset, such as "flickr8k".
    """
    splits, lists = flickr.read_split_lists(folder, dataset)
    if lists:
        captions.files += lists
        captions.has_splits = True
        # The images are put into the order of the lists, because training has always used this order.
        listed = {name: captions.image(name) for name in splits}
        for name, split in splits.items():
            listed[name].split = split
        captions.images = listed | captions.images


__all__ = ["LAYOUTS", "Folder", "Layout", "Source", "read_captions"]
