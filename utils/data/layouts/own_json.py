"""Read the user's own JSON file, such as `captions.json` or Hugging Face's `metadata.jsonl`.

The file has one of these forms:

    [{"image": "dog.jpg", "caption": "A dog.", "split": "train"}, …]
    [{"file_name": "dog.jpg", "text": "A dog."}, …]; in JSON Lines, one such object per line
    {"data": [{"image": "dog.jpg", "caption": "A dog."}, …]}
    [{"image": "dog.jpg", "captions": ["A dog.", "A big dog."]}, …]
    {"dog.jpg": ["A dog.", "A big dog."], "cat.jpg": "A cat."}
    COCO's form:
    {"images": [{"id": 1, "file_name": "dog.jpg"}, …], "annotations": [{"image_id": 1, "caption": "A dog."}, …]}
    Karpathy's form:
    {"images": [{"filename": "dog.jpg", "split": "train", "sentences": [{"raw": "A dog."}]}, …]}
"""

from utils.data.layouts import coco, karpathy
from utils.data.layouts.captions import caption_columns, image_column, reader, split_name
from utils.data.layouts.text import Document, caption_text, image_name, printable


def read_into(captions, path, split=None, folder=""):
    """Add the captions of a user's JSON file, with records such as {"image": "dog.jpg", "caption": "A dog."}.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        path: the file, a Path.
        split: "train", "val", "test" or None. Images get this split if the file does not say their split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.

    Raises:
        InputError: the file has no form that can be read; the message has the file and the line.
    """
    document = Document(path)
    content, above = document.content, ()
    if isinstance(content, dict) and len(content) == 1:
        ((key, inner),) = content.items()
        if key != "images" and isinstance(inner, list) and inner and all(isinstance(each, dict) for each in inner):
            content, above = inner, (key,)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        reader = coco if "annotations" in content else karpathy
        reader.read_own(captions, document, split, folder)
    elif isinstance(content, dict):
        for key, texts in content.items():
            _add(captions, document, folder, key, texts, split, (key,))
    elif isinstance(content, list):
        for number, record in enumerate(content):
            keys = (*above, number)
            names = list(record) if isinstance(record, dict) else []
            name = document.field(record, image_column(names) or "image", str, *keys)
            columns = caption_columns(names)
            if not columns:
                found = printable(", ".join(names))
                raise document.wrong(f"expected a field such as caption, captions or text, found {found}", *keys)
            if {"caption", "captions"} <= set(columns):
                raise document.wrong("expected one of caption and captions", *keys)
            texts = record[columns[0]] if len(columns) == 1 else [record[column] for column in columns]
            own_split = record.get("split")
            _add(captions, document, folder, name, texts, split if own_split is None else own_split, keys)
    else:
        raise document.wrong("expected a list of records, or an object with the captions of each image")


read = reader(read_into)


def _add(captions, document, folder, name, texts, split, keys):
    """Add one image with its captions.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        document: a Document, the parsed JSON file.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.
        name: the name of the photo in the file.
        texts: a caption, or a list of captions.
        split: the image's split in the file, or None.
        keys: a tuple of the keys and list indices that lead from the top of the file to the image.
    """

    def wrong(message):
        return document.wrong(message, *keys)

    image_id = image_name(name, wrong, folder)
    captions.put_in_split(image_id, split_name(split, wrong), wrong)
    texts = [texts] if texts is None or isinstance(texts, str) else texts
    if not isinstance(texts, list):
        raise wrong("captions must be a text or a list of texts")
    for text in texts:
        # pandas writes null for an empty cell.
        captions.add(image_id, caption_text("" if text is None else text, wrong))
