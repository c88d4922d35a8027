"""Read COCO's caption files of 2017 and 2014, such as `captions_train2017.json`, and users' files of the same form."""

from utils.data.layouts.captions import Captions, Image, read_images
from utils.data.layouts.text import Document, caption_text, image_name, printable


def file_names(coco_id):
    """Return the possible file names of a COCO photo. The releases of 2017 and 2014 name the same photo differently.

    Args:
        coco_id: the photo's number in COCO, an int.

    Returns:
        A tuple of three str.
    """
    number = f"{coco_id:012d}.jpg"
    return number, f"COCO_train2014_{number}", f"COCO_val2014_{number}"


def read(path):
    """Read COCO's caption files of one year.

    Args:
        path: the Path of `captions_train….json` or `captions_val….json`. If the
            other of these two files is in the same folder, it is read, too.

    Returns:
        A `Captions` object, in which each image has a split. An image's id is its number in COCO, as text.

    Raises:
        InputError: a file does not have COCO's form, or an image appears twice; the message has the file and the line.
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
    """Add the captions of one of COCO's files.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        document: a Document, the parsed JSON file.
        split: "train" or "val".
        year: "2014" or "2017".
    """
    ids = {}
    for record, keys, wrong in document.records("images"):
        coco_id = document.field(record, "id", int, *keys)
        file = image_name(document.field(record, "file_name", str, *keys), wrong)
        ids[str(coco_id)] = str(coco_id)
        captions.add_image(str(coco_id), Image(file, f"{split}{year}", coco_id, split), wrong)
    _read_annotations(captions, document, ids, int)


def read_own(captions, document, split=None, folder=""):
    """Add the captions of a user's file in COCO's form. An image's id is the name of the image file.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        document: a Document, the parsed JSON file.
        split: "train", "val", "test" or None. Images get this split if the file does not say their split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.
    """
    ids = {}
    for record, keys, wrong, image in read_images(document, "file_name", split, folder):
        own_id = _id_text(document.field(record, "id", (int, float, str), *keys))
        if own_id in ids:
            raise wrong(f"image {printable(own_id)} appears twice")
        ids[own_id] = image.file
        captions.add_image(image.file, image, wrong)
    _read_annotations(captions, document, ids, (int, float, str))


def _id_text(own_id):
    """Convert an id to text. Some programs write the same id as 1, 1.0 and "1"."""
    return str(int(own_id) if isinstance(own_id, float) and own_id.is_integer() else own_id)


def _read_annotations(captions, document, ids, kind):
    """Add the captions in the list `annotations` of a file in COCO's form.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        document: a Document, the parsed JSON file.
        ids: a dict from an image's id in the file, as `_id_text` writes it, to its id in `captions`.
        kind: the allowed type of the ids in the file, such as int, or a tuple of types.
    """
    strays = 0
    for record, keys, wrong in document.records("annotations"):
        own_id = _id_text(document.field(record, "image_id", kind, *keys))
        text = caption_text(document.field(record, "caption", str, *keys), wrong)
        if own_id in ids:
            captions.add(ids[own_id], text)
        else:
            strays += 1
    if strays:
        captions.notes.append(
            f"{strays} captions in {document.path.name} are skipped: the file does not list their images"
        )
