"""Text and JSON files, read so that whatever makes no sense is named with its file and line."""

import codecs
import json
import re

from utils.errors import InputError

# Windows' programs write UTF-16, which begins with one of these; those of UTF-32 begin like UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def decode(data):
    """Bytes as text: UTF-8 with or without a byte order mark, UTF-16 or UTF-32 with one.

    Raises:
        UnicodeDecodeError: another encoding.
    """
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), "utf-8-sig")
    return data.decode(encoding)


def read_text(path):
    """The text of a file in an encoding of `decode`, its lines ended by newlines.

    Raises:
        InputError: cannot be read, or another encoding; the line is named.
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
    """The lines of a text file, numbered from 1."""
    # Not str.splitlines: it also splits at characters that occur within captions.
    yield from enumerate(read_text(path).split("\n"), 1)


def caption_text(text, wrong):
    """A caption on one line, its words a blank apart.

    Args:
        text: as it stands in the file.
        wrong: called with a message, returns the error that names the place.
    """
    if not isinstance(text, str):
        raise wrong(f"a caption is text, not {_kind(text)}")
    if not text.isascii() and not _is_text(text):
        raise wrong("the caption holds half a character (a lone surrogate)")
    return " ".join(text.split())


def image_name(name, wrong):
    """The file name of an image, with slashes between folders whatever system wrote it."""
    if not isinstance(name, str):
        raise wrong(f"an image is named by text, not by {_kind(name)}")
    name = name.strip().replace("\\", "/").removeprefix("./")
    if not name or name.endswith("/"):
        raise wrong("the name of the image is missing")
    if not name.isprintable() or len(name) > 1000 or not _is_text(name):
        raise wrong("the name of the image cannot be that of a file")
    return name


def _is_text(text):
    return not re.search("[\ud800-\udfff]", text)


def _kind(value):
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "text"}
    return names.get(type(value), "a number")


class Document:
    """A JSON file, or one of JSON Lines (`.jsonl`), which is read as a list of the lines' values.

    Args:
        path: the file.

    Raises:
        InputError: not JSON; the line is named.
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
            line, message = _line_of_key(text, error.key), f"{error.key[:80]!r} stands here twice"
        except RecursionError:
            line, message = 1, "lists or objects within each other without end"
        except ValueError as error:
            line, message = getattr(error, "lineno", 1), f"not JSON ({getattr(error, 'msg', error)})"
        raise InputError(f"{self.path}, line {line + first - 1}: {message}")

    def wrong(self, message, *keys):
        """An InputError about the value that is reached by keys and positions from the top."""
        parts = (f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)
        name = "".join(parts).removeprefix(".")
        if self._lines is not None:
            line = self._lines[keys[0]] if keys else 1
        else:
            line = _line_of(read_text(self.path), keys)
        return InputError(f"{self.path}, line {line}: {name + ': ' if name else ''}{message}")

    def field(self, record, name, kind, *keys):
        """A field of a record that must be there.

        Args:
            record: the object, at `keys`.
            name: of the field.
            kind: str, int, list or dict, or a tuple of them.
        """
        if not isinstance(record, dict):
            raise self.wrong(f"must be an object, not {_kind(record)}", *keys)
        if name not in record:
            raise self.wrong(f"{name} is missing", *keys)
        value = record[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(f"cannot be {_kind(value)}", *keys, name)
        return value

    def records(self, name):
        """The records of the top-level list `name`.

        Yields:
            (record, its keys from the top, a function that makes an InputError of a message about it).
        """
        for number, record in enumerate(self.field(self.content, name, list)):
            keys = (name, number)
            yield record, keys, lambda message, keys=keys: self.wrong(message, *keys)


def printable(text):
    """Text for an error: short, and without characters that a terminal would not show."""
    return text if text.isprintable() and len(text) < 80 else ascii(text)[:80]


class _TwiceError(Exception):
    def __init__(self, key):
        self.key = key


def _object(pairs):
    """An object as a dict; of two values of one key Python would drop the first without a word."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return record


def _line_of_key(text, key):
    place = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)][1:2] or [0]
    return text.count("\n", 0, place[0]) + 1


def _line_of(text, keys):
    """The line on which the value begins that is reached by keys and positions; read once more, as json tells none."""
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
