"""Read Karpathy's `dataset_flickr8k.json`, `dataset_flickr30k.json` and `dataset_coco.json`.

Most papers use the splits in these files (Karpathy and Fei-Fei, 2015). The list `images` has an object
per image, with the fields `filename`, `split` and `sentences`, and for COCO also `filepath` and `cocoid`.
A sentence has the field `raw` with the caption.
"""

from utils.data.layouts.captions import Captions, read_images
from utils.data.layouts.text import Document, caption_text


def read(path):
    """Read one of Karpathy's files.

    Args:
        path: the file, a Path.

    Returns:
        A `Captions` object, in which each image has a split. Photos of Karpathy's split `restval` belong to "train".

    Raises:
        InputError: the file has another form; the message has the file and the line.
    """
    captions = Captions(path)
    document = Document(path)
    document.field(document.content, "images", list)
    captions.dataset = document.content.get("dataset")
    read_own(captions, document)
    captions.has_splits = True
    return captions


def read_own(captions, document, split=None, folder=""):
    """Add the captions of a file in Karpathy's form.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        document: a Document, the parsed JSON file.
        split: "train", "val", "test" or None. Images get this split if the file does not say their split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.
    """
    for record, keys, wrong, image in read_images(document, "filename", split, folder):
        image.folder, image_id = record.get("filepath"), image.file
        if "cocoid" in record:
            image.coco_id = document.field(record, "cocoid", int, *keys)
            image_id = str(image.coco_id)
        captions.add_image(image_id, image, wrong)
        for place, sentence in enumerate(document.field(record, "sentences", list, *keys)):
            keys_there = (*keys, "sentences", place)
            raw = document.field(sentence, "raw", str, *keys_there)
            captions.add(image_id, caption_text(raw, wrong))
