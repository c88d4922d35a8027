"""COCO's official `captions_train2017.json`, `captions_val2017.json`, those of 2014, and own photos in this form."""

from utils.data.layouts.captions import Captions, Image, split_name
from utils.data.layouts.text import Document, caption_text, image_name, printable


def file_names(coco_id):
    """The names a COCO photo has in the releases of 2017 and 2014; the photos are the same.

    Args:
        coco_id: the image's number.
    """
    number = f"{coco_id:012d}.jpg"
    return number, f"COCO_train2014_{number}", f"COCO_val2014_{number}"


def read(path):
    """Read COCO's caption files of one year.

    Args:
        path: that of train or val; the other one is read too if it lies beside it.

    Returns:
        Captions; an image's id is its number in COCO, as text.

    Raises:
        InputError: another structure, or an image in both files; file and line are named.
    """
    year = path.stem[-4:]
    paths = {split: path.with_name(f"captions_{split}{year}.json") for split in ("train", "val")}
    paths = {split: path for split, path in paths.items() if path.is_file()}
    captions = Captions(*paths.values())
    captions.has_splits = True
    for split, path in paths.items():
        _read_file(captions, Document(path), split, year)
    return captions


def _read_file(captions, document, split, year):
    ids = set()
    for number, record in enumerate(document.field(document.content, "images", list)):
        keys = ("images", number)
        coco_id = document.field(record, "id", int, *keys)
        name = document.field(record, "file_name", str, *keys)
        file = image_name(name, lambda message, keys=keys: document.wrong(message, *keys))
        image_id = str(coco_id)
        if image_id in captions.images:
            raise document.wrong(f"image {image_id} stands here twice, or in another split too", *keys)
        captions.images[image_id] = Image(file, f"{split}{year}", coco_id, split)
        ids.add(coco_id)
    _read_annotations(captions, document, {coco_id: str(coco_id) for coco_id in ids}, int)


def read_own(captions, document, split=None, folder=""):
    """Add one's own photos in COCO's form to Captions; an image's id is its file's name.

    Args:
        captions: a Captions.
        document: a Document.
        split: of images that have none themselves.
        folder: "" or "name/", put before the photos' names.
    """
    ids = {}
    for number, record in enumerate(document.field(document.content, "images", list)):
        keys = ("images", number)

        def wrong(message, keys=keys):
            return document.wrong(message, *keys)

        own_id = document.field(record, "id", (int, str), *keys)
        name = image_name(document.field(record, "file_name", str, *keys), wrong)
        name = name if name.startswith(folder) else folder + name
        if own_id in ids or name in captions.images:
            twice = printable(str(own_id if own_id in ids else name))
            raise wrong(f"image {twice} stands here twice, or in another split too")
        ids[own_id] = name
        captions.images[name] = Image(name, split=split_name(record.get("split"), wrong) or split)
    _read_annotations(captions, document, ids, (int, str))


def _read_annotations(captions, document, ids, kind):
    """Add the annotations; `ids` are the images' ids in Captions by their ids here, of type `kind`."""
    strays = 0
    for number, record in enumerate(document.field(document.content, "annotations", list)):
        keys = ("annotations", number)
        own_id = document.field(record, "image_id", kind, *keys)
        caption = document.field(record, "caption", str, *keys)
        text = caption_text(caption, lambda message, keys=keys: document.wrong(message, *keys))
        if own_id in ids:
            captions.add(ids[own_id], text)
        else:
            strays += 1
    if strays:
        captions.notes.append(
            f"{strays} captions in {document.path.name} are of images that it does not list, and are left out"
        )
