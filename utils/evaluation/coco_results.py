"""Captions as files: COCO's results format, `[{"image_id": …, "caption": …}, …]`, and what people write instead."""

import json
import re
from collections import defaultdict
from pathlib import Path

from utils.data.layouts.near_names import folded
from utils.data.layouts.text import decode
from utils.errors import InputError

_EXAMPLE = '[{"image_id": 397133, "caption": "A man makes pizzas."}, …]'

# What the field of the image and that of the caption may be called; the first one that is there counts.
_IMAGE_KEYS = ("image_id", "image", "photo", "file_name", "filename", "id")
_CAPTION_KEYS = ("caption", "captions", "text")

# The objects that hold a list of results instead of captions by image.
_WRAPPERS = ("annotations", "results", "captions", "predictions")


def read_results(path):
    """Captions by image id, as strings, from a file that anyone's captioner wrote.

    The file is a list of results, such a list within `{"annotations": …}`, an
    object of captions by image, or JSON Lines, as `inference.py --json` writes
    them; of several captions in its lines the first, the best one, counts. The
    same caption given twice for an image counts once; different ones are an
    error, since it is not for us to choose.

    Raises:
        InputError: no such file, another format, or two captions for an image.
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
        raise InputError(f"{path}: no UTF-8 text; expected {_EXAMPLE}") from None
    try:
        content = _parse(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON text ({str(error)[:100]}); expected {_EXAMPLE}") from None
    if isinstance(content, dict):
        wrapped = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), list)), None)
        if any(key in content for key in _IMAGE_KEYS) and any(key in content for key in _CAPTION_KEYS):
            content = [content]  # JSON Lines of one line
        elif wrapped and all(isinstance(row, dict) for row in wrapped):
            content = wrapped
        else:  # {"id": "caption"}, as some write it
            content = [{"image_id": image_id, "caption": text} for image_id, text in content.items()]
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: expected {_EXAMPLE}, and found none")
    return content


def _parse(text):
    """JSON, or JSON Lines: several values, a line each."""
    lines = [line for line in text.split("\n") if line.strip()]
    try:
        return json.loads(text)
    except ValueError:
        if len(lines) < 2 or not lines[0].lstrip().startswith("{") or not lines[0].rstrip().endswith("}"):
            raise
    return [json.loads(line) for line in lines]


def _result(row, place):
    """The image's id, as a string, and the caption of a result."""
    if isinstance(row, dict):
        image_id = next((row[key] for key in _IMAGE_KEYS if key in row), None)
        text = next((row[key] for key in _CAPTION_KEYS if key in row), None)
        if isinstance(text, list) and text:
            # Ours are in order, the best one first; of others' it is not for us to choose.
            ours = [one.get("text") for one in text if isinstance(one, dict)]
            if len(ours) < len(text) and len({str(one) for one in text}) > 1:
                raise _twice(place, image_id)
            text = (ours or text)[0]
        if isinstance(image_id, (str, int, float)) and not isinstance(image_id, bool) and isinstance(text, str):
            return str(image_id), text
    raise InputError(f"{place}: expected {_EXAMPLE}, found {json.dumps(row)[:80]}")


def _twice(place, image_id):
    return InputError(f"{place}: a second, different caption for image {image_id}; leave one")


def as_results(captions):
    """Captions by image id in COCO's results format; ids that are numbers become numbers, as COCO's own tools want."""
    return [
        {"image_id": int(image_id) if image_id.isdecimal() else image_id, "caption": text}
        for image_id, text in captions.items()
    ]


def _forms(image_id):
    """What an image may be called instead, the most exact form first.

    Its name without folders, that without a suffix, and its number: 397133 is
    `397133.0`, `000000397133.jpg` and `COCO_val2014_000000397133` too.
    """
    path = folded(image_id.strip().replace("\\", "/"))
    name = path.rsplit("/", 1)[-1]
    stem = re.sub(r"\.[a-z]{3,4}$", "", name)
    number = re.fullmatch(r"(?:coco_[a-z]+\d{4}_)?0*(\d+)(?:\.0*)?", stem)
    return dict.fromkeys([path, name, stem, *([number[1]] if number else [])])


def match(captions, references, say=lambda line: None):
    """Captions for exactly the images of references.

    Images without a caption get an empty one, which scores 0: leaving them out
    would flatter. Captions of other images cannot be scored. Both are told.

    Args:
        captions: a sentence by image id, in any form of `_forms` that one image has.
        references: by image id.
        say: called with lines for a person.

    Raises:
        InputError: no caption belongs to any of the images, or two different ones to the same.
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
            raise InputError(f"a second, different caption for image {image_id}, as {given}; leave one")
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
