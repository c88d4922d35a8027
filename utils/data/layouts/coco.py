"""Reading COCO's `captions_train2017.json`, `captions_val2017.json`, those of 2014, and user files of this form."""

from utils.data.layouts.captions import Captions, Image, split_name
from utils.data.layouts.text import Document, caption_text, image_name, printable


def file_names(coco_id):
    """The possible file names of a COCO photo. The releases of 2017 and 2014 name the same photos differently.

    Args:
        coco_id: the image's number.
    """
    number = f"{coco_id:012d}.jpg"
    return number, f"COCO_train2014_{number}", f"COCO_val2014_{number}"


def read(path):
    """Read COCO's caption files of one year.

    Args:
        path: the file of train or val. The other one is read, too, if it is in the same folder.

    Returns:
        Captions. An image's id is its number in COCO, as text.

    Raises:
        InputError: a file has another form, or an image appears twice; the message has file and line.
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
    """Add one of COCO's files, a Document, to Captions."""
    ids = {}
    for record, keys, wrong in document.records("images"):
        coco_id = document.field(record, "id", int, *keys)
        file = image_name(document.field(record, "file_name", str, *keys), wrong)
        ids[coco_id] = str(coco_id)
        captions.add_image(ids[coco_id], Image(file, f"{split}{year}", coco_id, split), wrong)
    _read_annotations(captions, document, ids, int)


def read_own(captions, document, split=None, folder=""):
    """Add a user's file in COCO's form to Captions. An image's id is the name of its file.

    Args:
        captions: a Captions.
        document: a Document.
        split: the split of images for which the file has none, or None.
        folder: "" or "name/", which is added before the photos' names.
    """
    ids = {}
    for record, keys, wrong in document.records("images"):
        own_id = document.field(record, "id", (int, str), *keys)
        name = image_name(document.field(record, "file_name", str, *keys), wrong)
        name = name if name.startswith(folder) else folder + name
        if own_id in ids:
            raise wrong(f"image {printable(str(own_id))} appears twice")
        ids[own_id] = name
        captions.add_image(name, Image(name, split=split_name(record.get("split"), wrong) or split), wrong)
    _read_annotations(captions, document, ids, (int, str))


def _read_annotations(captions, document, ids, kind):
    """Add the captions of a file to Captions.

    Args:
        captions: a Captions.
        document: a Document.
        ids: the ids of images in Captions by their ids in the file, as a dict.
        kind: the type of the ids in the file, or a tuple of types.
    """
    strays = 0
    for record, keys, wrong in document.records("annotations"):
        own_id = document.field(record, "image_id", kind, *keys)
        text = caption_text(document.field(record, "caption", str, *keys), wrong)
        if own_id in ids:
            captions.add(ids[own_id], text)
        else:
            strays += 1
    if strays:
        captions.notes.append(
            f"{strays} captions in {document.path.name} are skipped: the file does not list their images"
        )
