"""Reading Karpathy's `dataset_flickr8k.json`, `dataset_flickr30k.json` and `dataset_coco.json`.

Most papers use these splits (Karpathy and Fei-Fei, 2015). An image has `filename`, `split`,
`sentences` with `raw` text and, for COCO, `filepath` and `cocoid`.
"""

from utils.data.layouts.captions import Captions, Image, split_name
from utils.data.layouts.text import Document, caption_text, image_name


def read(path):
    """Read one of Karpathy's files.

    Args:
        path: the file.

    Returns:
        Captions with splits. Photos of `restval` belong to train.

    Raises:
        InputError: the file has another form; the message has file and line.
    """
    captions = Captions(path)
    document = Document(path)
    document.field(document.content, "images", list)
    captions.dataset = document.content.get("dataset")
    read_own(captions, document)
    captions.has_splits = True
    return captions


def read_own(captions, document, split=None, folder=""):
    """Add a file in Karpathy's form to Captions.

    Args:
        captions: a Captions.
        document: a Document.
        split: the split of images for which the file has none, or None.
        folder: "" or "name/", which is added before the photos' names.
    """
    for record, keys, wrong in document.records("images"):
        name = image_name(document.field(record, "filename", str, *keys), wrong)
        image = Image(name if name.startswith(folder) else folder + name, folder=record.get("filepath"))
        image.split = split_name(record.get("split"), wrong) or split
        image_id = image.file
        if "cocoid" in record:
            image.coco_id = document.field(record, "cocoid", int, *keys)
            image_id = str(image.coco_id)
        captions.add_image(image_id, image, wrong)
        for place, sentence in enumerate(document.field(record, "sentences", list, *keys)):
            keys_there = (*keys, "sentences", place)
            raw = document.field(sentence, "raw", str, *keys_there)
            captions.add(image_id, caption_text(raw, wrong))
