"""Every layout in which captions come, and which one is read where several lie in one folder.

What a person has written comes first, then what divides the photos, then the
authors' own files, then copies without splits. The order of `LAYOUTS` is that
precedence.
"""

import re
from collections import namedtuple

from utils.data.layouts import beside, coco, flickr, karpathy, own, tables
from utils.data.layouts.captions import Captions, split_of_word
from utils.data.layouts.folder import Folder
from utils.errors import InputError

# A layout: what it is called, the datasets that it may hold, the names of its
# file, and its reader; for "custom" that of `_PARTS`, where its reader is there.
Layout = namedtuple("Layout", "name datasets files read")

_ALL = frozenset({"flickr8k", "flickr30k", "coco", "custom"})

LAYOUTS = (
    Layout("one's own table", _ALL, ("captions.csv",), tables.read),
    Layout("one's own JSON", _ALL, ("captions.json",), own.read),
    Layout("Karpathy's JSON", {"flickr8k"}, ("dataset_flickr8k.json", "dataset.json"), karpathy.read),
    Layout("Karpathy's JSON", {"flickr30k"}, ("dataset_flickr30k.json", "dataset.json"), karpathy.read),
    Layout("Karpathy's JSON", {"coco"}, ("dataset_coco.json", "dataset.json"), karpathy.read),
    Layout("a copy's annotations", {"flickr30k"}, ("flickr_annotations_30k.csv",), flickr.read_annotations_30k),
    Layout("the authors' captions", {"flickr8k"}, ("Flickr8k.token.txt",), flickr.read_token_file),
    Layout("the authors' captions", {"flickr30k"}, ("results_20130124.token",), flickr.read_token_file),
    Layout("COCO's captions", {"coco"}, ("captions_train2017.json", "captions_val2017.json"), coco.read),
    Layout("COCO's captions", {"coco"}, ("captions_train2014.json", "captions_val2014.json"), coco.read),
    Layout("Hugging Face's metadata", {"custom"}, ("metadata.jsonl",), own.read),
    Layout("Hugging Face's metadata", {"custom"}, ("metadata.csv",), tables.read),
    Layout("one's own JSON", {"custom"}, ("dataset.json", "dataset_*.json", "captions.jsonl"), own.read),
    Layout(
        "one's own JSON, a file a split",
        {"custom"},
        ("captions_train*.json", "captions_train*.jsonl", "train.json", "train.jsonl"),
        own.read,
    ),
    Layout("one's own tables, a file a split", {"custom"}, ("captions_train*.csv", "train.csv"), tables.read),
    Layout("one's own table", {"custom"}, ("captions.tsv",), tables.read),
    Layout("Kaggle's table", {"flickr8k", "custom"}, ("captions.txt",), tables.read),
    Layout("Kaggle's table", {"flickr30k"}, ("results.csv", "captions.txt"), tables.read),
)

# Readers that add a file to Captions, for layouts whose files may be parts of one table.
_PARTS = {tables.read: tables.read_into, own.read: own.read_into}

# What was read: the layout's name, its Captions, and the files that were left alone.
Source = namedtuple("Source", "layout captions others")


def read_captions(folder, dataset):
    """Read the captions that lie in a folder.

    Args:
        folder: a Folder.
        dataset: "flickr8k", "flickr30k", "coco" or "custom".

    Returns:
        A Source.

    Raises:
        InputError: no captions here, or a file that makes no sense.
    """
    layouts = [layout for layout in LAYOUTS if dataset in layout.datasets]
    found = [(path, layout) for layout in layouts for name in layout.files for path in folder.find(name)]
    if not found:
        captions = beside.read(folder) if dataset == "custom" else None
        if captions and captions.images:
            return Source("text files beside the photos", captions, [])
        names = dict.fromkeys(name for layout in layouts for name in layout.files)
        texts = ", and no text file beside a photo" * (dataset == "custom")
        raise InputError(
            f"{folder.root}: no captions of {dataset} are here (none of {', '.join(names)}{texts}); see data/README.md"
        )
    path, layout = found[0]
    if dataset == "custom":
        captions = _read_parts(path, layout, folder)
    else:
        captions = layout.read(path)
        if captions.dataset not in (None, dataset):
            raise InputError(f"{path}: holds the dataset {str(captions.dataset)[:40]!r}, not {dataset}")
    others = [path for path, _ in found if path not in captions.files]
    if not any(image.split for image in captions.images.values()):
        _divide(captions, folder, dataset)
    return Source(layout.name, captions, others)


def _read_parts(path, layout, folder):
    """One's own captions: a file, or the files of all splits if it is named, or lies in a folder, of one of them.

    `captions_train.json` is read with `captions_val.json`, and `train/metadata.csv` with `validation/metadata.csv`.
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
    """Put the images into the splits that the authors' lists give, if these are here."""
    splits, lists = flickr.read_split_lists(folder, dataset)
    if lists:
        captions.files += lists
        captions.has_splits = True
        # In the order of the lists, in which every training run has seen them.
        listed = {name: captions.image(name) for name in splits}
        for name, split in splits.items():
            listed[name].split = split
        captions.images = listed | captions.images


__all__ = ["LAYOUTS", "Folder", "Layout", "Source", "read_captions"]
