"""Read the files of Flickr8k's and Flickr30k's authors, and a table that some copies of Flickr30k have.

The authors' `Flickr8k.token.txt` and `results_20130124.token` have lines `name.jpg#number<tab>caption`.
Further files list the images of each split. The table `flickr_annotations_30k.csv` has one row per
image, with the image's captions as a JSON list.
"""

import csv
import json
import re

from utils.data.layouts.captions import SPLITS, Captions, split_name
from utils.data.layouts.text import caption_text, image_name, lines
from utils.errors import InputError

# From each split to the possible names of the file that lists its images. The first name is Flickr8k's. `train.txt`,
# `val.txt` and `test.txt` belong to Flickr30k Entities (Plummer et al., 2015); their image names have no suffix.
_LISTS = {
    "train": ("Flickr_8k.trainImages.txt", "Flickr_30k.trainImages.txt", "flickr30k_train.txt", "train.txt"),
    "val": ("Flickr_8k.devImages.txt", "Flickr_30k.devImages.txt", "flickr30k_val.txt", "val.txt"),
    "test": ("Flickr_8k.testImages.txt", "Flickr_30k.testImages.txt", "flickr30k_test.txt", "test.txt"),
}


def read_token_file(path):
    """Read a caption file with lines `name.jpg#0<tab>caption`.

    Args:
        path: the file.

    Returns:
        A `Captions` object. The file does not say which photos are for training, so no photo has a split.

    Raises:
        InputError: a line has another form; the message has the file and the line.
    """
    captions = Captions(path)
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        match = re.fullmatch(r"(.+)#\d+\t(.*)", line)
        if match:
            captions.add(image_name(match[1], wrong), caption_text(match[2], wrong))
        elif line.strip():
            raise wrong("expected image#number, a tab and a caption")
    return captions


def read_split_lists(folder, dataset):
    """Read the files that list the images of each split, if a folder has such files.

    Args:
        folder: a Folder, the list of the dataset's files.
        dataset: the name of the dataset. Files such as `train.txt` are read for "flickr30k" only.

    Returns:
        (splits, files): a dict from the name of each image to its split, in the
        order of the lists; and a list of the paths of the files that were read.

    Raises:
        InputError: an image is in two splits; the message has the file and the line.
    """
    splits, files = {}, []
    for split in SPLITS:
        names = _LISTS[split] if dataset == "flickr30k" else _LISTS[split][:1]
        path = next((path for name in names for path in folder.find(name)), None)
        if not path:
            continue
        files.append(path)
        for number, line in lines(path):

            def wrong(message, number=number, path=path):
                return InputError(f"{path}, line {number}: {message}")

            if line.strip():
                name = image_name(line, wrong)
                name += "" if "." in name else ".jpg"
                if splits.setdefault(name, split) != split:
                    raise wrong(f"{name} is also in split {splits[name]}")
    return splits, files


def read_annotations_30k(path):
    """Read `flickr_annotations_30k.csv`.

    The columns are raw, sentids, split, filename and img_id. The column `raw` has
    a JSON list of captions. The columns `sentids` and `img_id` are not used.

    Args:
        path: the file.

    Returns:
        A `Captions` object, in which each image has a split.

    Raises:
        InputError: a row has another form; the message has the file and the line.
    """
    captions = Captions(path)
    captions.has_splits = True
    columns = ["raw", "sentids", "split", "filename", "img_id"]
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        if number == 1:
            if line.strip().split(",") != columns:
                raise wrong(f"expected the header {','.join(columns)}")
            continue
        if not line.strip():
            continue
        try:
            (row,) = csv.reader([line], strict=True)
            raw, _, split, name, _ = row
            texts = json.loads(raw)
        except (csv.Error, ValueError, RecursionError):
            raise wrong("expected a list of captions, sentence numbers, a split, a file name and a number") from None
        if not isinstance(texts, list):
            raise wrong("raw must be a list of captions")
        name = image_name(name, wrong)
        if name in captions.images:
            raise wrong(f"image {name} appears twice")
        captions.put_in_split(name, split_name(split, wrong), wrong)
        for text in texts:
            captions.add(name, caption_text(text, wrong))
    return captions
