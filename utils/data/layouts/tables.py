"""Tables with a row a caption: Kaggle's copies of Flickr8k and Flickr30k, and one's own `captions.csv`.

The header tells the columns and what stands between them: `image,caption` (Flickr8k),
`image_name| comment_number| comment` (Flickr30k's results.csv),
`image_name,comment_number,comment` (Flickr30k's captions.txt), `image,caption,split`.
"""

import csv
import re

from utils.data.layouts.captions import Captions, split_name
from utils.data.layouts.text import caption_text, image_name, lines
from utils.errors import InputError

_COLUMNS = {
    "image": ("image", "image_name", "filename", "file_name"),
    "caption": ("caption", "comment"),
    "split": ("split",),
    "number": ("comment_number", "caption_number"),
}


def read(path):
    """Read a table of captions.

    Args:
        path: the file.

    Returns:
        Captions; with splits if there is a column of them.

    Raises:
        InputError: a header or a row of another form; file and line are named.
    """
    captions, columns, repaired = Captions(path), None, []
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        if columns is None:
            separator, columns = _header(line, wrong)
            continue
        if not line.strip():
            continue
        row = _row(line, separator, wrong)
        if len(row) == 2 and "number" in columns and len(columns) == 3:
            row = _repair(row, wrong)
            repaired.append(number)
        if len(row) != len(columns):
            raise wrong(f"expected {len(columns)} fields ({', '.join(columns)}), found {len(row)}")
        _add(captions, dict(zip(columns, row)), wrong)
    if repaired:
        captions.notes.append(f"{len(repaired)} rows without their second separator were repaired (line {repaired[0]})")
    return captions


def _header(line, wrong):
    """The separator, and what each column is."""
    known = {name: kind for kind, names in _COLUMNS.items() for name in names}
    for separator in ",|;\t":
        names = [name.strip().strip('"').lower() for name in line.split(separator)]
        columns = [known.get(name, name) for name in names]
        if columns.count("image") == columns.count("caption") == 1 and len(set(columns)) == len(columns):
            return separator, columns
    raise wrong("expected a header such as image,caption or image,caption,split")


def _row(line, separator, wrong):
    """The fields of one line; a quote that is not closed would swallow the lines that follow."""
    if separator == "|":  # without quotes, which stand for themselves
        return line.split("|")
    try:
        (row,) = csv.reader([line], delimiter=separator, strict=True)
    except csv.Error as error:
        raise wrong(f"quotes that do not close on the line, or stand within a field ({error})") from None
    return row


def _repair(row, wrong):
    """Flickr30k's known row that lacks its second pipe: `2199200615.jpg| 4   A dog runs across the grass .`"""
    match = re.fullmatch(r"\s*(\d+)\s+(.*)", row[1])
    if not match:
        raise wrong("expected an image, a number and a caption")
    return [row[0], match[1], match[2]]


def _add(captions, row, wrong):
    image_id = image_name(row["image"], wrong)
    captions.put_in_split(image_id, split_name(row.get("split"), wrong), wrong)
    captions.add(image_id, caption_text(row["caption"], wrong))
