"""Every layout in which captions come, and which one is read where several lie in one folder.

What a person has written comes first, then what divides the photos, then the
authors' own files, then copies without splits. The order of `LAYOUTS` is that
precedence.
"""

from collections import namedtuple

from utils.data.layouts import coco, flickr, karpathy, own, tables
from utils.data.layouts.folder import Folder
from utils.errors import InputError

# A layout: what it is called, the datasets that it may hold, the names of its
# file, and its reader.
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
    Layout("Kaggle's table", {"flickr8k", "custom"}, ("captions.txt",), tables.read),
    Layout("Kaggle's table", {"flickr30k"}, ("results.csv", "captions.txt"), tables.read),
)

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
        names = dict.fromkeys(name for layout in layouts for name in layout.files)
        raise InputError(
            f"{folder.root}: no captions of {dataset} are here (none of {', '.join(names)}); see data/README.md"
        )
    path, layout = found[0]
    captions = layout.read(path)
    if captions.dataset not in (None, dataset):
        raise InputError(f"{path}: holds the dataset {str(captions.dataset)[:40]!r}, not {dataset}")
    others = [path for path, _ in found if path not in captions.files]
    if not any(image.split for image in captions.images.values()):
        _divide(captions, folder, dataset)
    return Source(layout.name, captions, others)


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
