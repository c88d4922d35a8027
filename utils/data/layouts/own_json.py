"""Reading the user's own JSON, such as `captions.json` or Hugging Face's `metadata.jsonl`.

It has one of these forms:

    [{"image": "dog.jpg", "caption": "A dog.", "split": "train"}, …]
    [{"file_name": "dog.jpg", "text": "A dog."}, …]; in JSON Lines, one such object per line
    [{"image": "dog.jpg", "captions": ["A dog.", "A big dog."]}, …]
    {"dog.jpg": ["A dog.", "A big dog."], "cat.jpg": "A cat."}
    COCO's form:
    {"images": [{"id": 1, "file_name": "dog.jpg"}, …], "annotations": [{"image_id": 1, "caption": "A dog."}, …]}
    Karpathy's form:
    {"images": [{"filename": "dog.jpg", "split": "train", "sentences": [{"raw": "A dog."}]}, …]}
"""

from utils.data.layouts import coco, karpathy
from utils.data.layouts.captions import caption_columns, image_column, reader, split_name
from utils.data.layouts.text import Document, caption_text, image_name


def read_into(captions, path, split=None, folder=""):
    """Add a JSON file to Captions.

    Args:
        captions: a Captions.
        path: the file.
        split: the split of images for which the file has none, or None.
        folder: "" or "name/", which is added before the photos' names.

    Raises:
        InputError: the file has another form; the message has file and line.
    """
    document = Document(path)
    content = document.content
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        reader = coco if "annotations" in content else karpathy
        reader.read_own(captions, document, split, folder)
    elif isinstance(content, dict):
        for key, texts in content.items():
            _add(captions, document, folder, key, texts, split, (key,))
    elif isinstance(content, list):
        for number, record in enumerate(content):
            names = list(record) if isinstance(record, dict) else []
            name = document.field(record, image_column(names) or "image", str, number)
            columns = caption_columns(names)
            if not columns or {"caption", "captions"} <= set(columns):
                raise document.wrong("expected one of caption and captions", number)
            texts = record[columns[0]] if len(columns) == 1 else [record[column] for column in columns]
            own_split = record.get("split")
            _add(captions, document, folder, name, texts, split if own_split is None else own_split, (number,))
    else:
        raise document.wrong("expected a list of records, or an object of captions by image")


read = reader(read_into)


def _add(captions, document, folder, name, texts, split, keys):
    """Add one image with its captions, a text or a list of texts, to Captions."""

    def wrong(message):
        return document.wrong(message, *keys)

    image_id = image_name(name, wrong)
    image_id = image_id if image_id.startswith(folder) else folder + image_id
    captions.put_in_split(image_id, split_name(split, wrong), wrong)
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list):
        raise wrong("captions must be a text or a list of texts")
    for text in texts:
        captions.add(image_id, caption_text(text, wrong))
