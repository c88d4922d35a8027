"""Read tables with one row per caption or per photo.

Such tables are Kaggle's copies of Flickr8k and Flickr30k, and the user's own `captions.csv`.
The first line names the columns and shows their separator. Examples:

    image,caption                              Kaggle's captions.txt of Flickr8k
    image_name| comment_number| comment        Kaggle's results.csv of Flickr30k
    image_name,comment_number,comment          Kaggle's captions.txt of Flickr30k
    file_name,text                             Hugging Face's metadata.csv
    image,caption,split
    image,caption1,caption2

Excel's line `sep=;` may come before the header. Empty columns and rows are ignored.
"""

import csv
import re
from collections import namedtuple

from utils.data.layouts.captions import caption_columns, column_name, image_column, reader, split_name
from utils.data.layouts.text import caption_text, image_name, lines, printable
from utils.errors import InputError

# The header of a table: the separator, the names of all columns, the index of the column with the photos' names, and a
# list of the indices of the columns with captions.
_Header = namedtuple("_Header", "separator columns image captions")


def read_into(captions, path, split=None, folder=""):
    """Add the captions of a table.

    Args:
        captions: the Captions to add to.
        path: the file.
        split: the split, "train", "val", "test" or None, of rows for which the table has none.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.

    Raises:
        InputError: the header or a row has another form; the message has the file and the line.
    """
    header, separators, repaired = None, ",|;\t", []
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        excel = number == 1 and re.fullmatch(r'"?sep=([,;|\t])\1*"? *', line, re.IGNORECASE)
        if excel:
            separators = excel[1]
        elif header is None:
            header = _header(line, separators, wrong)
        elif line.strip():
            row = _row(line, header.separator, wrong)
            if len(row) == 2 and len(header.columns) == 3 and header.columns[1].endswith("_number"):
                row = _repair(row, wrong)
                repaired.append(number)
            if any(field.strip() for field in row):
                _add(captions, header, row, split, folder, wrong)
    if header is None:
        raise InputError(f"{path}, line {number}: expected a header such as image,caption after Excel's line sep=")
    if repaired:
        captions.notes.append(f"{len(repaired)} rows without a second separator were repaired (line {repaired[0]})")


read = reader(read_into)


def _header(line, separators, wrong):
    """Read the header of a table. The first separator that gives a column of photos and one of captions is used.

    Args:
        line: the first line of the table.
        separators: the possible separators, one character each.
        wrong: a function that takes a message and returns an InputError with the file and the line in it.

    Returns:
        A _Header.

    Raises:
        InputError: no separator gives these columns.
    """
    for separator in separators:
        names = [column_name(name) for name in line.split(separator)]
        image, captions = image_column(names), caption_columns(names)
        if image and captions and names.count(image) == 1 and names.count("split") <= 1:
            places = [place for place, name in enumerate(names) if name in captions]
            return _Header(separator, names, names.index(image), places)
    raise wrong(
        "expected a header such as image,caption or image,caption,split or file_name,text, "
        f"found {ascii(line.strip()[:40]) if line.strip() else 'an empty line'}"
    )


def _row(line, separator, wrong):
    """Split one line into fields. Each line is parsed alone, so that an unclosed quote does not include the next lines.

    Args:
        line: the line.
        separator: the separator.
        wrong: a function that takes a message and returns an InputError with the file and the line in it.

    Returns:
        A list of str.

    Raises:
        InputError: the quotes in the line are wrong.
    """
    if separator == "|":  # such tables have no quoting
        return line.split("|")
    # Spaces after a closing quote are removed if the line cannot be parsed with them.
    tidy = re.sub(rf'"[ \t]+(?={re.escape(separator)}|$)', '"', line)
    for text in dict.fromkeys((line, tidy)):
        try:
            (row,) = csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True)
            return row
        except csv.Error as error:
            reason = error
    raise wrong(f"a quote is not closed on this line, or is inside a field ({reason})")


def _repair(row, wrong):
    """Split the second field of a row whose second separator is missing.

    Flickr30k has such a row: `2199200615.jpg| 4   A dog runs across the grass .`

    Args:
        row: a list of two fields.
        wrong: a function that takes a message and returns an InputError with the file and the line in it.

    Returns:
        A list of three fields.

    Raises:
        InputError: the second field does not begin with a number.
    """
    match = re.fullmatch(r"\s*(\d+)\s+(.*)", row[1])
    if not match:
        raise wrong("expected an image, a number and a caption")
    return [row[0], match[1], match[2]]


def _add(captions, header, row, split, folder, wrong):
    """Add the captions of one row.

    Args:
        captions: the Captions to add to.
        header: the _Header of the table.
        row: the fields, as a list of str.
        split, folder: as for `read_into`.
        wrong: a function that takes a message and returns an InputError with the file and the line in it.

    Raises:
        InputError: the row has another number of fields than the header, or a field is wrong.
    """
    columns = header.columns
    # Spreadsheets append empty fields to rows, or omit the fields of unnamed columns.
    row = row + [""] * sum(not name for name in columns[len(row) :])
    names = columns + [""] * (len(row) - len(columns))
    stray = any(field.strip() for name, field in zip(names, row) if not name)
    if len(row) < len(columns) or stray:
        raise wrong(
            f"expected {len(columns)} fields ({printable(', '.join(columns))}), found {len(row)}; "
            f"a caption that contains {header.separator!r} must be in quotes"
        )
    image_id = image_name(row[header.image], wrong, folder)
    own_split = row[columns.index("split")] if "split" in columns else None
    captions.put_in_split(image_id, split_name(own_split, wrong) or split, wrong)
    texts = [row[place] for place in header.captions]
    for text in [text for text in texts if text.strip()] or texts[:1]:
        captions.add(image_id, caption_text(text, wrong))
