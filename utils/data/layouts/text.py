"""Read text and JSON files, and check captions and names of photos. Errors name the file and the line."""

import codecs
import json
import re

from utils.errors import InputError

# Byte order marks and their encodings. Those of UTF-32 come first, because they begin with those of UTF-16. Programs
# on Windows write UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def decode(data):
    """Decode bytes to a str. The encoding is UTF-8 or UTF-16, with or without a byte order mark, or UTF-32 with one.

    Raises:
        UnicodeDecodeError: the bytes have another encoding.
    """
    # UTF-16 without a byte order mark is recognised by its zeros: every second byte of ASCII letters.
    start = data[:1000]
    zeros = {"utf-16-le": start[1::2].count(0), "utf-16-be": start[::2].count(0)}
    unmarked = next((encoding for encoding, count in zeros.items() if count > len(start) // 4), "utf-8-sig")
    return data.decode(next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), unmarked))


def read_text(path):
    r"""Read a text file. All line ends become "\n".

    Args:
        path: the file, a Path.

    Raises:
        InputError: the file cannot be read, is not encoded as UTF-8, UTF-16 or UTF-32, or contains zero bytes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = decode(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: a zero byte, so this is not UTF-8 text; save the file as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(path):
    """Read a text file and yield (number, line) for each line. Numbers begin at 1. `path` is a Path.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    # str.splitlines would also split at other characters, which occur in captions.
    yield from enumerate(read_text(path).split("\n"), 1)


def caption_text(text, wrong):
    """Check a caption, and replace line ends and repeated spaces by single spaces.

    Args:
        text: the value in the caption file, of any type.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.

    Returns:
        The caption as text.

    Raises:
        InputError: the value is not text, or contains a lone surrogate, which is half of a character.
    """
    if not isinstance(text, str):
        raise wrong(f"a caption must be text, not {_kind(text)}")
    if not text.isascii() and not _is_text(text):
        raise wrong("the caption contains half a character (a lone surrogate)")
    return " ".join(text.split())


def image_name(name, wrong, folder=""):
    """Check the file name of an image, and replace backslashes by slashes.

    Args:
        name: the value in the caption file, of any type.
        wrong: a function that takes a message and returns an InputError that also names the file and the line.
        folder: "" or a folder's name with a slash. It is put before names that do not begin with it.

    Returns:
        The name as text, without spaces at its ends.

    Raises:
        InputError: the value cannot be the name of a file.
    """
    if not isinstance(name, str):
        raise wrong(f"the name of an image must be text, not {_kind(name)}")
    name = name.strip().replace("\\", "/").removeprefix("./")
    if not name or name.endswith("/"):
        raise wrong("the name of the image is missing")
    if not name.isprintable() or len(name) > 1000 or not _is_text(name):
        raise wrong("the name of the image is not a possible name of a file")
    return name if name.startswith(folder) else folder + name


def _is_text(text):
    """Return True if a string has no surrogates, which are halves of characters and cannot be encoded."""
    return not re.search("[\ud800-\udfff]", text)


def _kind(value):
    """Return the type of a JSON value in words for errors, such as "a list"."""
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "text"}
    return names.get(type(value), "a number")


class Document:
    """Read a JSON file, and make errors that say in which line a value is.

    A JSON Lines file is read as a list with the value of each line. It is recognised by its content, because the
    suffixes `.json` and `.jsonl` are often confused.

    Args:
        path: the file, a Path.

    Attributes:
        path: the file.
        content: the value in the file: a dict, list, str, number, bool or None.

    Raises:
        InputError: the file is not JSON; the message has the line.
    """

    def __init__(self, path):
        self.path, self._lines = path, None
        filled = [(number, line) for number, line in lines(path) if line.strip()]
        if _is_json_lines(path, [line.strip() for _, line in filled]):
            self._lines = [number for number, _ in filled]
            self.content = [self._parse(line, number) for number, line in filled]
        else:
            self.content = self._parse(read_text(path), 1)

    def _parse(self, text, first):
        """Parse JSON text, and return its value.

        Args:
            text: the JSON text.
            first: the number of the line on which the text begins in the file, for errors.
        """
        try:
            return json.loads(text, object_pairs_hook=_object)
        except _TwiceError as error:
            line, message = _line_of_key(text, error.key), f"{error.key[:80]!r} appears twice"
        except RecursionError:
            line, message = 1, "too many nested lists or objects"
        except ValueError as error:
            line, message = getattr(error, "lineno", 1), f"not JSON ({getattr(error, 'msg', error)})"
        raise InputError(f"{self.path}, line {line + first - 1}: {message}")

    def wrong(self, message, *keys):
        """Make and return an InputError about a value in the file. Its message names the file and the line.

        Args:
            message: the problem, a str.
            keys: the keys and list indices that lead from the top of the file to the value.
        """
        parts = (f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)
        name = "".join(parts).removeprefix(".")
        if self._lines is not None:
            line = self._lines[keys[0]] if keys else 1
        else:
            line = _line_of(read_text(self.path), keys)
        return InputError(f"{self.path}, line {line}: {name + ': ' if name else ''}{message}")

    def field(self, record, name, kind, *keys):
        """Return the value of a required field of a JSON object.

        Args:
            record: the object, normally a dict.
            name: the name of the field.
            kind: the required type: str, int, list or dict, or a tuple of them.
            keys: the keys and list indices that lead from the top of the file to `record`.

        Raises:
            InputError: `record` is not an object, or the field is missing or has another type.
        """
        if not isinstance(record, dict):
            raise self.wrong(f"must be an object, not {_kind(record)}", *keys)
        if name not in record:
            raise self.wrong(f"{name} is missing", *keys)
        value = record[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(f"must not be {_kind(value)}", *keys, name)
        return value

    def records(self, name):
        """Yield the items of a list that is a field of the file's top object.

        Args:
            name: the name of the field.

        Yields:
            (record, keys, wrong): `record` is an item of the list. `keys` is a tuple of the keys and
            indices that lead from the top of the file to it. `wrong` is a function that takes a message
            and returns an InputError with the file and the line of the record in it.

        Raises:
            InputError: there is no such list.
        """
        for number, record in enumerate(self.field(self.content, name, list)):
            keys = (name, number)
            yield record, keys, lambda message, keys=keys: self.wrong(message, *keys)


def _is_json_lines(path, filled):
    """Return True if a file has one JSON value per line.

    Args:
        path: the file, a Path.
        filled: a list of the file's lines, without empty lines and without spaces at the ends.
    """
    if path.suffix.lower() == ".jsonl":
        return not filled or not filled[0].startswith("[")
    return len(filled) > 1 and all(line.startswith("{") and line.endswith("}") for line in filled)


def printable(text):
    """Prepare a text for an error: at most 80 characters, and none that a terminal cannot show."""
    return text if text.isprintable() and len(text) < 80 else ascii(text)[:80]


class _TwiceError(Exception):
    """Raised when a key, a str, appears twice in a JSON object."""

    def __init__(self, key):
        self.key = key


def _object(pairs):
    """Make the dict of a JSON object, and check for repeated keys. `json.loads` would silently drop their first values.

    Args:
        pairs: the content of the object, a list of (key, value).

    Raises:
        _TwiceError: a key is repeated.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return record


def _line_of_key(text, key):
    """Return the number of the line, from 1, on which a key occurs for the second time in JSON text."""
    place = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)][1:2] or [0]
    return text.count("\n", 0, place[0]) + 1


def _line_of(text, keys):
    """Return the number of the line, from 1, on which a value begins in JSON text.

    The json module does not record lines, so the text is parsed again.

    Args:
        text: the JSON text.
        keys: the keys and list indices that lead from the top of the text to the value.
    """
    decoder = json.JSONDecoder()

    def skip(position, characters=" \t\n\r"):
        while position < len(text) and text[position] in characters:
            position += 1
        return position

    position = skip(0)
    for key in keys:
        position, index = skip(position + 1), 0
        while position < len(text) and text[position] not in "]}":
            found = index
            if isinstance(key, str):
                found, position = decoder.raw_decode(text, position)
                position = skip(position, " \t\n\r:")
            if found == key:
                break
            _, position = decoder.raw_decode(text, position)
            position, index = skip(position, " \t\n\r,"), index + 1
    return text.count("\n", 0, position) + 1
