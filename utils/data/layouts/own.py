"""One's own `captions.json`: a list of records, or an object of captions by image.

[{"image": "dog.jpg", "caption": "A dog.", "split": "train"}, …]
[{"image": "dog.jpg", "captions": ["A dog.", "A big dog."]}, …]
{"dog.jpg": ["A dog.", "A big dog."], "cat.jpg": "A cat."}
"""

from utils.data.layouts.captions import Captions, split_name
from utils.data.layouts.text import Document, caption_text, image_name


def read(path):
    """Read one's own JSON.

    Args:
        path: the file.

    Returns:
        Captions; with the splits that are given.

    Raises:
        InputError: another structure; file and line are named.
    """
    document = Document(path)
    content = document.content
    captions = Captions(path)
    if isinstance(content, dict):
        for key, texts in content.items():
            _add(captions, document, key, texts, None, (key,))
    elif isinstance(content, list):
        for number, record in enumerate(content):
            name = document.field(record, "image", str, number)
            if ("caption" in record) == ("captions" in record):
                raise document.wrong("expected either caption or captions", number)
            key = "caption" if "caption" in record else "captions"
            _add(captions, document, name, record[key], record.get("split"), (number,))
    else:
        raise document.wrong("expected a list of records, or an object of captions by image")
    return captions


def _add(captions, document, name, texts, split, keys):
    def wrong(message):
        return document.wrong(message, *keys)

    image_id = image_name(name, wrong)
    captions.put_in_split(image_id, split_name(split, wrong), wrong)
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list):
        raise wrong("captions are text, or a list of texts")
    for text in texts:
        captions.add(image_id, caption_text(text, wrong))
