"""Captions as files: COCO's results format, `[{"image_id": …, "caption": …}, …]`."""

import json
from pathlib import Path

from utils.errors import InputError


def read_results(path):
    """Captions by image id, as strings, from a file that anyone's captioner wrote.

    The same caption given twice for an image counts once; different ones are an
    error, since it is not for us to choose.

    Raises:
        InputError: no such file, another format, or two captions for an image.
    """
    path = Path(path)
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: no JSON text ({error}); COCO's results format is expected") from None
    if isinstance(rows, dict):  # {"id": "caption"}, as some write it
        rows = [{"image_id": image_id, "caption": text} for image_id, text in rows.items()]
    if not isinstance(rows, list) or not rows:
        raise InputError(f'{path}: expected a list of {{"image_id": …, "caption": …}}, and found none')
    captions = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("caption"), str) or "image_id" not in row:
            raise InputError(f"{path}, entry {number}: expected an image_id and a caption that is a string")
        image_id = str(row["image_id"])
        if captions.setdefault(image_id, row["caption"]) != row["caption"]:
            raise InputError(f"{path}, entry {number}: a second, different caption for image {image_id}; leave one")
    return captions


def as_results(captions):
    """Captions by image id in COCO's results format; ids that are numbers become numbers, as COCO's own tools want."""
    return [
        {"image_id": int(image_id) if image_id.isdecimal() else image_id, "caption": text}
        for image_id, text in captions.items()
    ]


def match(captions, references, say=lambda line: None):
    """Captions for exactly the images of references.

    Images without a caption get an empty one, which scores 0: leaving them out
    would flatter. Captions of other images cannot be scored. Both are told.

    Args:
        captions: a sentence by image id.
        references: by image id; ids without their file's suffix are understood too.
        say: called with lines for a person.

    Raises:
        InputError: no caption belongs to any of the images.
    """
    known = {image_id.rsplit(".", 1)[0]: image_id for image_id in references} | {i: i for i in references}
    matched = {known[image_id]: text for image_id, text in captions.items() if image_id in known}
    if not matched:
        raise InputError(
            f"none of the {len(captions)} captions belongs to any of the {len(references)} images: "
            f"they have ids like {next(iter(captions))}, the dataset {next(iter(references))}; "
            "another --dataset or --split?"
        )
    missing, unknown = len(references) - len(matched), len(captions) - len(matched)
    if missing:
        say(f"{missing} of {len(references)} images have no caption: each counts as an empty one, which scores 0")
    if unknown:
        say(f"{unknown} of {len(captions)} captions are of other images and are not scored")
    empty = sum(not text.strip() for text in matched.values())
    if empty:
        say(f"{empty} captions are empty and score 0")
    return {image_id: matched.get(image_id, "") for image_id in references}
