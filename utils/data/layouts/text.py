"""Reading text and JSON files. Errors have the file and the line."""

import codecs
import json
import re

from utils.errors import InputError

# Byte order marks. UTF-32's come first, because UTF-16's is a part of it. Programs on Windows write UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def decode(data):
    """Decode bytes to text: UTF-8 with or without a byte order mark, UTF-16 or UTF-32 with one.

    Raises:
        UnicodeDecodeError: the text has another encoding.
    """
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), "utf-8-sig")
    return data.decode(encoding)


def read_text(path):
    """The text of a file. Its encoding is one of `decode`, and all line ends become newlines.

    Raises:
        InputError: the file cannot be read, or has another encoding; the message has the line.
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
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(path):
    """The lines of a text file, as pairs (number, line); numbers begin at 1."""
    # str.splitlines would also split at other characters, which occur in captions.
    yield from enumerate(read_text(path).split("\n"), 1)


def caption_text(text, wrong):
    """Check a caption and replace line ends and repeated spaces by single spaces.

    Args:
        text: the value in the file.
        wrong: a function from a message to an error with file and line.
    """
    if not isinstance(text, str):
        raise wrong(f"a caption must be text, not {_kind(text)}")
    if not text.isascii() and not _is_text(text):
        raise wrong("the caption contains half a character (a lone surrogate)")
    return " ".join(text.split())


def image_name(name, wrong):
    """Check the file name of an image and replace backslashes by slashes.

    Args:
        name: the value in the file.
        wrong: a function from a message to an error with file and line.
    """
    if not isinstance(name, str):
        raise wrong(f"the name of an image must be text, not {_kind(name)}")
    name = name.strip().replace("\\", "/").removeprefix("./")
    if not name or name.endswith("/"):
        raise wrong("the name of the image is missing")
    if not name.isprintable() or len(name) > 1000 or not _is_text(name):
        raise wrong("the name of the image is not a possible name of a file")
    return name


def _is_text(text):
    """Whether a string has no surrogates, which cannot be encoded."""
    return not re.search("[\ud800-\udfff]", text)


def _kind(value):
    """The type of a JSON value, in words."""
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "text"}
    return names.get(type(value), "a number")


class Document:
    """The content of a JSON file, with functions for errors that have the line of a value.

    A JSON Lines file (`.jsonl`) is read as a list of the values of its lines.

    Args:
        path: the file.

    Attributes:
        path: the same.
        content: the value in the file.

    Raises:
        InputError: the file is not JSON; the message has the line.
    """

    def __init__(self, path):
        self.path, self._lines = path, None
        if path.suffix.lower() == ".jsonl":
            self._lines = [number for number, line in lines(path) if line.strip()]
            self.content = [self._parse(line, number) for number, line in lines(path) if line.strip()]
        else:
            self.content = self._parse(read_text(path), 1)

    def _parse(self, text, first):
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
        """An InputError about a value, with its line.

        Args:
            message: the problem.
            keys: the keys and list indices from the top to the value.
        """
        parts = (f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)
        name = "".join(parts).removeprefix(".")
        if self._lines is not None:
            line = self._lines[keys[0]] if keys else 1
        else:
            line = _line_of(read_text(self.path), keys)
        return InputError(f"{self.path}, line {line}: {name + ': ' if name else ''}{message}")

    def field(self, record, name, kind, *keys):
        """The value of a required field.

        Args:
            record: the object with the field.
            name: the name of the field.
            kind: the required type: str, int, list or dict, or a tuple of them.
            keys: the keys and list indices from the top to `record`.

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
        """The records of the list `name` in the top object.

        Yields:
            (record, keys, wrong): `keys` lead from the top to the record; `wrong` is a function from a
            message to an InputError about the record.
        """
        for number, record in enumerate(self.field(self.content, name, list)):
            keys = (name, number)
            yield record, keys, lambda message, keys=keys: self.wrong(message, *keys)


def printable(text):
    """Text for an error, at most 80 characters, without characters that a terminal cannot show."""
    return text if text.isprintable() and len(text) < 80 else ascii(text)[:80]


class _TwiceError(Exception):
    """A key that appears twice in a JSON object."""

    def __init__(self, key):
        self.key = key


def _object(pairs):
    """A JSON object as a dict. Raises _TwiceError for a repeated key; Python would silently drop its first value."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return record


def _line_of_key(text, key):
    """The line of the second occurrence of a key in JSON text."""
    place = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)][1:2] or [0]
    return text.count("\n", 0, place[0]) + 1


def _line_of(text, keys):
    """The line in JSON text on which a value begins.

    The json module does not record lines, so the text is parsed again.

    Args:
        text: the JSON text.
        keys: the keys and list indices from the top to the value.
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
