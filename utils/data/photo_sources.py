"""What a person names as photos (files, folders, patterns, addresses, standard input) → photos, one by one."""

import codecs
import glob
import http.client
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from functools import cached_property
from pathlib import Path

from utils import files
from utils.data.images import find_photos, is_image, name_photo
from utils.data.walk import is_system
from utils.errors import ImageError, InputError, reason, shorten

# Stands for standard input.
STANDARD_INPUT = "-"

# The name of a photo that was piped in.
_STANDARD_INPUT_PHOTO = "standard input"

# Seconds without an answer after which a download is given up.
_TIMEOUT = 20

# Bytes that are downloaded at most; photos are smaller.
_MAX_BYTES = 100_000_000


class Source:
    """A photo on this machine.

    Args:
        name: what the person calls it; stands in all output.
        path: its file.
        relative: where its results belong in a folder of results.
    """

    local = True

    def __init__(self, name, path, relative):
        self.name, self.path, self.relative = str(name), Path(path), Path(relative)


class _Fetched(Source):
    """A photo without a file of its own: `path` makes one, in a folder of the program's, when it is first needed."""

    local = False

    def __init__(self, name, folder, relative):
        self.name, self.relative = name, Path(relative)
        self._folder = folder

    @cached_property
    def path(self):
        file = Path(self._folder) / f"{id(self)}"
        name_photo(file, self.name)
        try:
            self._fetch(file)
        except OSError as error:  # a full disk
            raise ImageError(f"{self.name}: cannot be put into {file.parent} ({reason(error)})") from None
        return file


class _Download(_Fetched):
    def __init__(self, address, folder, relative):
        super().__init__(shorten(address), folder, relative)
        self._address = address

    def _fetch(self, path):
        headers = {"User-Agent": "image-captioning", "Accept": "image/*"}
        try:
            # An opener of its own: urlopen keeps the proxies of the first call for ever.
            request = urllib.request.Request(_ascii_address(self._address), headers=headers)
            with (
                urllib.request.build_opener().open(request, timeout=_TIMEOUT) as answer,
                open(path, "wb") as file,
            ):
                shutil.copyfileobj(_Limited(answer, self.name), file)
        except ImageError:
            raise
        except urllib.error.HTTPError as error:
            raise ImageError(f"{self.name}: the server answers {error.code} {error.reason}") from None
        # A cut answer, a bad address or certificate, no network, a timeout, a full disk.
        except (OSError, ValueError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            said = reason(cause if isinstance(cause, Exception) else Exception(cause))
            raise ImageError(f"{self.name}: cannot be fetched ({said})") from None


def _ascii_address(address):
    """An address with letters beyond ASCII and blanks as servers take it: the host by IDNA, the rest by percent signs.

    Raises:
        ValueError: no such host can be.
    """
    if address.lower().startswith("data:"):
        return address
    parts = urllib.parse.urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    # Percent signs are there already, or stand for themselves.
    quoted = [
        re.sub("%(?![0-9A-Fa-f]{2})", "%25", urllib.parse.quote(part, safe="%/:;=&?@!$'()*+,~[]")) for part in parts[2:]
    ]
    return urllib.parse.urlunsplit([parts.scheme, user + at + host, *quoted])


class _Limited:
    """A stream that ends with an ImageError once it has given too much."""

    def __init__(self, stream, name):
        self._stream, self._name, self._left = stream, name, _MAX_BYTES

    def read(self, size):
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ImageError(f"{self._name}: larger than {_MAX_BYTES / 1e6:.0f} MB; download and shrink it first")
        return data


class _Given(_Fetched):
    def __init__(self, data, folder):
        super().__init__(_STANDARD_INPUT_PHOTO, folder, "standard_input")
        self._data = data

    def _fetch(self, path):
        path.write_bytes(self._data)


def find_sources(names, folder, standard_input, note=lambda line: None):
    """The photos that are named, in order, folders and patterns sorted.

    Args:
        names: files, folders (with their subfolders), patterns such as
            `album/**/*.jpg`, http(s), file and data: addresses, or "-" for standard input,
            which holds one photo or a list of such names, one a line, or with a
            zero byte after each, as `find -print0` writes them.
        folder: a function that gives the folder where photos that are no files yet are put;
            it is called when the first of them is needed.
        standard_input: a binary stream.
        note: called with a line on what is left out of a folder.

    Returns:
        A list of Source. Only what can be known without reading photos is
        checked: their `path` may raise ImageError.

    Raises:
        InputError: a name that stands for nothing.
    """
    sources = []
    for name in names:
        if str(name) == STANDARD_INPUT:
            sources += _read_standard_input(folder, standard_input, note)
        else:
            sources += _named(str(name), folder, note)
    return sources


def _named(name, folder, note):
    if name.lower().startswith(("http://", "https://")):
        last = name.split("?")[0].split("#")[0].rstrip("/").rsplit("/", 1)[-1]
        return [_Download(name, folder, last or "photo")]
    if name.lower().startswith("data:"):
        return [_Download(name, folder, "photo")]
    if name.lower().startswith("file:"):
        return _named_by_address(name, folder, note)
    path = Path(name)
    if glob.has_magic(name) and not files.exists(path):
        found = [Path(match) for match in _matches(name)]
        if not found:
            raise InputError(f"{shorten(name)}: no file matches this pattern")
        return [Source(match, match, match.name) for match in found]
    if files.is_dir(path):
        return [Source(photo, photo, photo.relative_to(path)) for photo in find_photos(path, note)]
    return [Source(name, photo, photo.name) for photo in find_photos(path)]


def _matches(pattern):
    """The files that match a pattern, sorted, each once, and none in the system's own folders that it does not name."""
    named, found = Path(pattern).parts, {}
    for match in sorted(glob.glob(pattern, recursive=True), key=lambda match: (match.count(os.sep), match)):
        if os.path.isfile(match) and not any(is_system(part) for part in Path(match).parts if part not in named):
            found.setdefault(os.path.realpath(match), match)  # links to folders may lead back
    return sorted(found.values())


def _named_by_address(address, folder, note):
    """The photos of `file:///folder/photo.jpg`; a photo keeps the name that was given."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        parts = None
    if not parts or parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(f"{address}: no file on this machine; write file:///folder/photo.jpg, or the path alone")
    path = urllib.request.url2pathname(parts.path)
    sources = _named(path, folder, note)
    if [source.name for source in sources] == [path]:  # a photo, not a folder of one
        return [Source(address, path, sources[0].relative)]
    return sources


def _read_standard_input(folder, stream, note):
    data = stream.read()
    if is_image(data):
        return [_Given(data, folder)]
    names = [name for name in _listed(data) if name and name != STANDARD_INPUT]
    if not names:
        raise InputError("standard input: is empty; pipe in a photo, or a list of photos, one a line")
    return [source for name in names for source in _named(name, folder, note)]


def _listed(data):
    """The names in a list: a line each, or separated by zero bytes as `find -print0` does; UTF-8, UTF-16 or neither."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))  # whatever bytes a name has
    names = text.split("\0") if "\0" in text else [line.strip() for line in re.split("[\r\n]+", text)]
    if any("\udc80" <= letter <= "\udcff" for letter in names[0]) and not os.path.lexists(names[0]):
        raise InputError("standard input: neither a photo nor a list of photos, one a line")
    return names


def is_single(names, sources):
    """Whether `names` name one photo itself, rather than a folder, a pattern or a list that may hold more."""
    return len(names) == len(sources) == 1 and sources[0].name in (shorten(names[0]), names[0], _STANDARD_INPUT_PHOTO)


def result_paths(sources, folder, suffix):
    """A file in `folder` for the result of each source; those that would share one are numbered."""
    taken, paths = set(), []
    for source in sources:
        plain = Path(folder) / source.relative.with_suffix("")
        path, number = plain.with_name(plain.name + suffix), 2
        while path in taken:
            path, number = plain.with_name(f"{plain.name}-{number}{suffix}"), number + 1
        taken.add(path)
        paths.append(path)
    return paths


def part_of(photos, number, count):
    """The photos that machine `number` of `count` (from 1) captions.

    They follow one another, so that what the machines write, one after another,
    is what a single one writes; `features.shard_of` has no order to keep.
    """
    return photos[len(photos) * (number - 1) // count : len(photos) * number // count]
