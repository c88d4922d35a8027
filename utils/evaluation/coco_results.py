"""Read captions to score from files in the format of COCO's results, or in similar formats.

COCO's format is `[{"image_id": 5, "caption": "…"}, …]`.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

from utils.data.layouts.near_names import folded
from utils.data.layouts.text import decode
from utils.errors import InputError

_EXAMPLE = '[{"image_id": 397133, "caption": "A man makes pizzas."}, …]'

# Names that the image field and the caption field may have. The first name that is found is used.
_IMAGE_KEYS = ("image_id", "img_id", "image", "photo", "file_name", "filename", "id")
_CAPTION_KEYS = ("caption", "captions", "text")

# Keys of a JSON object under which the list of results may be.
_WRAPPERS = ("annotations", "results", "captions", "predictions", "data")


def read_results(path):
    """Read captions from a file that any captioning program wrote.

    The file may have one of these forms:

    - a JSON list of results such as {"image_id": 5, "caption": "A dog."}, or a JSON object that holds such a list,
      `{"annotations": […]}`
    - a JSON object from image id to caption
    - JSON Lines: one JSON object per line, such as {"image": "dog.jpg", "caption": "A dog."}. `inference.py --json`
      writes such files. If a line has several captions, the first one is used, which is the best.

    Args:
        path: the file.

    Returns:
        A dict from image id to caption, both strings.

    Raises:
        InputError: the file cannot be read, has another format, or has two different captions for an image.
    """
    path = Path(path)
    captions = {}
    for number, row in enumerate(_rows(path), 1):
        place = f"{path}, entry {number}"
        image_id, text = _result(row, place)
        if captions.setdefault(image_id, text) != text:
            raise _twice(place, image_id)
    return captions


def _rows(path):
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; expected {_EXAMPLE}") from None
    try:
        content = _parse(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON ({str(error)[:100]}); expected {_EXAMPLE}, or what inference.py --json writes"
        ) from None
    if isinstance(content, dict):
        wrapped = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), list)), None)
        if any(key in content for key in _IMAGE_KEYS) and any(key in content for key in _CAPTION_KEYS):
            content = [content]  # JSON Lines with a single line
        elif wrapped and all(isinstance(row, dict) for row in wrapped):
            content = wrapped
        else:  # {"id": "caption"}
            content = [{"image_id": image_id, "caption": text} for image_id, text in content.items()]
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: holds no captions; expected {_EXAMPLE}")
    return content


def _parse(text):
    """Parse a text as JSON and return the value. If it is JSON Lines, return the list of the lines' values."""
    lines = [line for line in text.split("\n") if line.strip()]
    try:
        return json.loads(text)
    except ValueError:
        if len(lines) < 2 or not lines[0].lstrip().startswith("{") or not lines[0].rstrip().endswith("}"):
            raise
    return [_parse_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parse_line(number, line):
    """Parse a line of JSON Lines and return its value. An error, a ValueError, names the line's number in the file."""
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {getattr(error, 'msg', error)}") from None


def _result(row, place):
    """Return (image id, caption), two strings, of one entry of a results file.

    Args:
        row: the entry, normally a dict with the image id and the caption.
        place: where the entry is, as text for errors.
    """
    if isinstance(row, dict):
        image_id = next((row[key] for key in _IMAGE_KEYS if key in row), None)
        text = next((row[key] for key in _CAPTION_KEYS if key in row), None)
        if isinstance(text, list) and text:
            # Captions that this program wrote are dicts, and the first one is the best. Different captions of other
            # programs are an error.
            ours = [one.get("text") for one in text if isinstance(one, dict)]
            if len(ours) < len(text) and len({str(one) for one in text}) > 1:
                raise _twice(place, image_id)
            text = (ours or text)[0]
        if isinstance(image_id, (str, int, float)) and not isinstance(image_id, bool) and isinstance(text, str):
            return str(image_id), text
    raise InputError(f"{place}: expected {_EXAMPLE}, found {json.dumps(row)[:80]}")


def _twice(place, image_id):
    return InputError(f"{place}: a second, different caption for image {image_id}; keep one")


def as_results(captions):
    """Convert a dict from image id to caption to COCO's results format, a list of dicts.

    Ids that consist of digits become numbers, as COCO's tools require. Other ids remain strings.
    """
    return [
        {"image_id": int(image_id) if image_id.isdecimal() else image_id, "caption": text}
        for image_id, text in captions.items()
    ]


def _forms(image_id):
    """Return an image id and its shorter forms. Two ids name the same image if they have a form in common.

    The forms are the whole id, the id without folders, then without suffix, and the number in it. If the id has a `?`
    or `#`, the same forms are also made of the part before this sign. So `397133.0`, `000000397133.jpg`,
    `COCO_val2014_000000397133` and `https://example.org/val2017/000000397133.jpg?width=640` all have the form `397133`.

    Args:
        image_id: the id, a str.

    Returns:
        A dict whose keys are the forms, the longest first; the values are None.
    """
    whole, forms = folded(image_id.strip().replace("\\", "/")), []
    for path in (whole, re.sub("[?#].*", "", whole)):
        name = path.rsplit("/", 1)[-1]
        stem = re.sub(r"\.[a-z]{3,4}$", "", name)
        number = re.fullmatch(r"(?:coco_[a-z]+\d{4}_)?0*(\d+)(?:\.0*)?", stem)
        forms += [path, name, stem, *([number[1]] if number else [])]
    return dict.fromkeys(filter(None, forms))


def match(captions, references, say=lambda *lines: None):
    """Match captions from a file to the images of a dataset, by their ids.

    An image without a caption gets an empty caption, which scores 0. Leaving the image out would raise the scores.
    Captions of other images are left out. Both cases are reported.

    Args:
        captions: a dict from image id to caption. An id may differ from that in `references`, for example in folders
            or suffix, if it still fits only one image.
        references: a dict from the id of each image of the dataset to a list of captions by people.
        say: function that shows lines of text to the user. Each argument is a line.

    Returns:
        A dict from image id, as in `references`, to caption.

    Raises:
        InputError: no caption belongs to any of the images, or two different captions belong to the same image.
    """
    known = defaultdict(set)
    for image_id in references:
        for form in _forms(image_id):
            known[form].add(image_id)
    matched, unknown = {}, []
    for given, text in captions.items():
        meant = {given} if given in references else next((known[f] for f in _forms(given) if f in known), ())
        if len(meant) != 1:
            unknown.append(given)
            continue
        (image_id,) = meant
        if matched.setdefault(image_id, text) != text:
            raise InputError(f"a second, different caption for image {image_id}, named {given}; keep one")
    if not matched:
        raise InputError(
            f"none of the {len(captions)} captions belongs to any of the {len(references)} images: "
            f"they have ids like {next(iter(captions))[:80]}, the dataset {next(iter(references))}; "
            "another --dataset or --split?"
        )
    missing = len(references) - len(matched)
    if missing:
        say(f"{missing} of {len(references)} images have no caption: each counts as an empty one, which scores 0")
    if unknown:
        say(
            f"{len(unknown)} of {len(captions)} captions are of other images, or of several, and are not scored, "
            f"such as {unknown[0][:80]}"
        )
    empty = sum(not text.strip() for text in matched.values())
    if empty:
        say(f"{empty} captions are empty and score 0")
    return {image_id: matched.get(image_id, "") for image_id in references}
