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
A caption in quotes may have several lines. A caption may be a list, as pandas writes it: `['A dog.', 'A big dog.']`.
"""

import ast
import csv
import re
from collections import namedtuple
from contextlib import suppress

from utils.data.layouts.captions import caption_columns, column_name, image_column, reader, split_name
from utils.data.layouts.text import caption_text, image_name, lines, printable
from utils.errors import InputError

# Maximum number of lines of a row. With more, a quote that is never closed would make reading slow.
_MAX_ROW_LINES = 100

# The header of a table: the separator, the names of all columns, the index of the column with the photos' names, and a
# list of the indices of the columns with captions.
_Header = namedtuple("_Header", "separator columns image captions")


def read_into(captions, path, split=None, folder=""):
    """Add the captions of a table in a text file, such as `captions.csv`.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        path: the file, a Path.
        split: "train", "val", "test" or None. Images get this split if the table does not say their split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.

    Raises:
        InputError: the header or a row has another form; the message has the file and the line.
    """
    header, separators, repaired = None, ",|;\t", []
    rest = list(lines(path))[::-1]  # the last one is the next one
    while rest:
        number, line = rest.pop()

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        excel = number == 1 and re.fullmatch(r'"?sep=([,;|\t])\1*"? *', line, re.IGNORECASE)
        if excel:
            separators = excel[1]
        elif header is None:
            if line.strip() or not rest:
                header = _header(line, separators, wrong)
        elif line.strip():
            row = _row(line, rest, header, wrong)
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
    """Read the header of a table, and find its separator.

    The separator is the first one that splits the header into columns with names of photos and with captions.

    Args:
        line: the first line of the table.
        separators: the possible separators, a str such as ",;".
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

    Returns:
        A _Header: the separator, the names of the columns, and which columns have the photos and the captions.

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


def _row(line, rest, header, wrong):
    """Split a row of a table into fields. A row is one line, or several if a field in quotes contains line ends.

    Lines are joined only if the result is a complete row. So if a quote is never closed, the row does not swallow the
    rows after it.

    Args:
        line: the first line of the row.
        rest: a list of (number, line) for the lines after it, in reverse order. Lines of this row are removed from it.
        header: the _Header of the table, with its separator and columns.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

    Returns:
        A list of str.

    Raises:
        InputError: the quotes in the line are wrong.
    """
    separator = header.separator
    if separator == "|":  # such tables have no quoting
        return line.split("|")
    # Spaces after a closing quote are removed if the line cannot be parsed with them.
    tidy = re.sub(rf'"[ \t]+(?={re.escape(separator)}|$)', '"', line)
    for text in dict.fromkeys((line, tidy)):
        try:
            return _fields(text, separator)
        except csv.Error as error:
            reason = error
    for count in range(1, min(len(rest), _MAX_ROW_LINES) + 1):
        if '"' in rest[-count][1]:
            try:
                row = _fields("\n".join([line, *(other for _, other in rest[-1 : -count - 1 : -1])]), separator)
            except csv.Error:
                continue
            if len(row) == len(header.columns):
                del rest[-count:]
                return row
    row = line.split(separator)
    if separator == "\t" and len(row) == len(header.columns):  # most tables with tabs have no quoting
        return row
    raise wrong(f"a quote is not closed, or is inside a field ({reason}); write a quote in a quoted field twice")


def _fields(text, separator):
    """Split the text of one row at a separator into a list of fields. Raises csv.Error if its quotes are wrong."""
    # A list of one text, because the reader would otherwise split the text at its line ends.
    (row,) = csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True)
    return row


def _repair(row, wrong):
    """Repair a row whose second separator is missing, by splitting its second field.

    Flickr30k has such a row: `2199200615.jpg| 4   A dog runs across the grass .`

    Args:
        row: a list of two fields.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

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
    """Add the captions of one row of a table.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        header: the _Header of the table, with its separator and columns.
        row: the fields, as a list of str.
        split: "train", "val", "test" or None. The image gets this split if the row does not say its split.
        folder: "" or a folder's name with a slash. It is put before the names of photos that do not begin with it.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

    Raises:
        InputError: the row has another number of fields than the header, or a field is wrong.
    """
    columns = header.columns
    # Spreadsheets append empty fields to rows, or omit the fields of unnamed columns. An unnamed column before the
    # others is the index that pandas writes.
    row = row + [""] * sum(not name for name in columns[len(row) :])
    named = max(place for place, name in enumerate(columns) if name) + 1
    stray = any(field.strip() for field in row[named:])
    if len(row) < len(columns) or stray:
        raise wrong(
            f"expected {len(columns)} fields ({printable(', '.join(columns))}), found {len(row)}; "
            f"a caption that contains {header.separator!r} must be in quotes"
        )
    image_id = image_name(row[header.image], wrong, folder)
    own_split = row[columns.index("split")] if "split" in columns else None
    captions.put_in_split(image_id, split_name(own_split, wrong) or split, wrong)
    texts = [text for place in header.captions for text in _texts(row[place])]
    for text in [text for text in texts if text.strip()] or texts[:1]:
        captions.add(image_id, caption_text(text, wrong))


def _texts(field):
    """Return a list of the captions in a table field, a str.

    Most fields are one caption. A field such as `["A dog.", "A big dog."]` has several captions.
    """
    if re.fullmatch(r"""\s*\[\s*(["']).*\1\s*]\s*""", field, re.DOTALL):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            texts = ast.literal_eval(field.strip())
            if all(isinstance(text, str) for text in texts):
                return texts
    return [field]
