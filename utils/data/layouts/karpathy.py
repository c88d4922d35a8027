"""Karpathy's `dataset_flickr8k.json`, `dataset_flickr30k.json` and `dataset_coco.json`: captions with splits.

The field's common split (Karpathy and Fei-Fei, 2015). An image is `filename`,
`split`, `sentences` with `raw` text and, for COCO, `filepath` and `cocoid`.
"""

from utils.data.layouts.captions import Captions, Image, split_name
from utils.data.layouts.text import Document, caption_text, image_name


def read(path):
    """Read one of Karpathy's files.

    Args:
        path: the file.

    Returns:
        Captions with splits; `restval` is part of train.

    Raises:
        InputError: another structure; file and line are named.
    """
    document = Document(path)
    captions = Captions(path)
    captions.has_splits = True
    images = document.field(document.content, "images", list)
    captions.dataset = document.content.get("dataset")
    for number, record in enumerate(images):
        keys = ("images", number)

        def wrong(message, keys=keys):
            return document.wrong(message, *keys)

        name = image_name(document.field(record, "filename", str, *keys), wrong)
        image = Image(name, folder=record.get("filepath"))
        image.split = split_name(document.field(record, "split", str, *keys), wrong)
        image_id = name
        if "cocoid" in record:
            image.coco_id = document.field(record, "cocoid", int, *keys)
            image_id = str(image.coco_id)
        if image_id in captions.images:
            raise wrong(f"{image_id} stands here twice")
        captions.images[image_id] = image
        for place, sentence in enumerate(document.field(record, "sentences", list, *keys)):
            keys_there = (*keys, "sentences", place)
            raw = document.field(sentence, "raw", str, *keys_there)
            captions.add(image_id, caption_text(raw, wrong))
    return captions
