"""What a person names as photos (files, folders, patterns, addresses, standard input) → photos, one by one."""

import glob
import http.client
import io
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from functools import cached_property
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from utils.data.images import find_photos
from utils.data.layouts.text import decode
from utils.errors import ImageError, InputError

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

    def describe(self, error):
        """An ImageError of this photo in the person's terms."""
        return str(error)


class _Fetched(Source):
    """A photo without a file of its own: `path` makes one, in a folder of the program's, when it is first needed."""

    local = False

    def __init__(self, name, folder, relative):
        self.name, self.relative = name, Path(relative)
        self._file = Path(folder) / f"{id(self)}"

    @cached_property
    def path(self):
        self._fetch()
        return self._file

    def describe(self, error):
        return str(error).replace(str(self._file), self.name)


class _Download(_Fetched):
    def _fetch(self):
        headers = {"User-Agent": "image-captioning", "Accept": "image/*"}
        try:
            # An opener of its own: urlopen keeps the proxies of the first call for ever.
            request = urllib.request.Request(_ascii_address(self.name), headers=headers)
            with (
                urllib.request.build_opener().open(request, timeout=_TIMEOUT) as answer,
                open(self._file, "wb") as file,
            ):
                shutil.copyfileobj(_Limited(answer, self.name), file)
        except ImageError:
            raise
        except urllib.error.HTTPError as error:
            raise ImageError(f"{self.name}: the server answers {error.code} {error.reason}") from None
        # A cut answer, a bad address or certificate, no network, a timeout, a full disk.
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ImageError(f"{self.name}: cannot be fetched ({' '.join(str(reason).split())[:150]})") from None


def _ascii_address(address):
    """An address with letters beyond ASCII and blanks as servers take it: the host by IDNA, the rest by percent signs.

    Raises:
        ValueError: no such host can be.
    """
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

    def _fetch(self):
        self._file.write_bytes(self._data)


def find_sources(names, folder, standard_input):
    """The photos that are named, in order, folders and patterns sorted.

    Args:
        names: files, folders (with their subfolders), patterns such as
            `album/**/*.jpg`, http(s) and file addresses, or "-" for standard input,
            which holds one photo or a list of such names, one a line, or with a
            zero byte after each, as `find -print0` writes them.
        folder: where photos that are no files yet may be put.
        standard_input: a binary stream.

    Returns:
        A list of Source. Only what can be known without reading photos is
        checked: their `path` may raise ImageError.

    Raises:
        InputError: a name that stands for nothing.
    """
    sources = []
    for name in names:
        if str(name) == STANDARD_INPUT:
            sources += _read_standard_input(folder, standard_input)
        else:
            sources += _named(str(name), folder)
    return sources


def _named(name, folder):
    if name.lower().startswith(("http://", "https://")):
        last = name.split("?")[0].split("#")[0].rstrip("/").rsplit("/", 1)[-1]
        return [_Download(name, folder, last or "photo")]
    if name.lower().startswith("file:"):
        return _named_by_address(name, folder)
    path = Path(name)
    if not path.exists() and glob.has_magic(name):
        found = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()]
        if not found:
            raise InputError(f"{name}: no file matches this pattern")
        return [Source(match, match, match.name) for match in found]
    if path.is_dir():
        return [Source(photo, photo, photo.relative_to(path)) for photo in find_photos(path)]
    return [Source(name, photo, photo.name) for photo in find_photos(path)]


def _named_by_address(address, folder):
    """The photos of `file:///folder/photo.jpg`; a photo keeps the name that was given."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        parts = None
    if not parts or parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(f"{address}: no file on this machine; write file:///folder/photo.jpg, or the path alone")
    path = urllib.request.url2pathname(parts.path)
    sources = _named(path, folder)
    if [source.name for source in sources] == [path]:  # a photo, not a folder of one
        return [Source(address, path, sources[0].relative)]
    return sources


def _read_standard_input(folder, stream):
    data = stream.read()
    try:
        Image.open(io.BytesIO(data)).close()
        return [_Given(data, folder)]
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    try:
        text = decode(data)
        lines = text.split("\0") if "\0" in text else [line.strip() for line in text.splitlines()]
    except UnicodeDecodeError:
        raise InputError("standard input: neither a photo nor a list of photos, one a line") from None
    names = [line for line in lines if line and line != STANDARD_INPUT]
    if not names:
        raise InputError("standard input: is empty; pipe in a photo, or a list of photos, one a line")
    return [source for name in names for source in _named(name, folder)]


def is_single(names, sources):
    """Whether `names` name one photo itself, rather than a folder, a pattern or a list that may hold more."""
    return len(names) == len(sources) == 1 and sources[0].name in (names[0], _STANDARD_INPUT_PHOTO)


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
