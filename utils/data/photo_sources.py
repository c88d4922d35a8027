"""Finding photos by what the user names: files, folders, patterns, addresses or standard input."""

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

# The name that means standard input.
STANDARD_INPUT = "-"

# The name, in all output, of a photo that was read from standard input.
_STANDARD_INPUT_PHOTO = "standard input"

# Seconds without an answer after which a download fails.
_TIMEOUT = 20

# Maximum size of a download in bytes. Photos are smaller.
_MAX_BYTES = 100_000_000


class Source:
    """A photo that the user named.

    Args:
        name: the photo's name in all output, as the user gave it.
        path: the file.
        relative: the place of the photo's results in a folder of results, as a relative path.

    Attributes:
        local: whether the file is the user's own, rather than a temporary copy.
    """

    local = True

    def __init__(self, name, path, relative):
        self.name, self.path, self.relative = str(name), Path(path), Path(relative)


class _Fetched(Source):
    """A photo that is not a file on this machine. The first access to `path` writes it to a temporary folder."""

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
            raise ImageError(f"{self.name}: cannot be written to {file.parent} ({reason(error)})") from None
        return file


class _Download(_Fetched):
    """A photo at a web address or in a `data:` address."""

    def __init__(self, address, folder, relative):
        super().__init__(shorten(address), folder, relative)
        self._address = address

    def _fetch(self, path):
        headers = {"User-Agent": "image-captioning", "Accept": "image/*"}
        try:
            # A new opener, because urlopen keeps using the proxies of its first call.
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
        # An incomplete answer, a bad address or certificate, no network, a timeout, a full disk.
        except (OSError, ValueError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            said = reason(cause if isinstance(cause, Exception) else Exception(cause))
            raise ImageError(f"{self.name}: cannot be fetched ({said})") from None


def _ascii_address(address):
    """Encode an address with spaces or non-ASCII letters: the host by IDNA, the rest by percent signs.

    Raises:
        ValueError: the host's name is invalid.
    """
    if address.lower().startswith("data:"):
        return address
    parts = urllib.parse.urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    # A percent sign without two hexadecimal digits is a plain character, so it is encoded, too.
    quoted = [
        re.sub("%(?![0-9A-Fa-f]{2})", "%25", urllib.parse.quote(part, safe="%/:;=&?@!$'()*+,~[]")) for part in parts[2:]
    ]
    return urllib.parse.urlunsplit([parts.scheme, user + at + host, *quoted])


class _Limited:
    """A stream that raises ImageError when more than `_MAX_BYTES` were read."""

    def __init__(self, stream, name):
        self._stream, self._name, self._left = stream, name, _MAX_BYTES

    def read(self, size):
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ImageError(f"{self._name}: larger than {_MAX_BYTES / 1e6:.0f} MB; download and shrink it first")
        return data


class _Given(_Fetched):
    """A photo that was read from standard input."""

    def __init__(self, data, folder):
        super().__init__(_STANDARD_INPUT_PHOTO, folder, "standard_input")
        self._data = data

    def _fetch(self, path):
        path.write_bytes(self._data)


def find_sources(names, folder, standard_input, note=lambda line: None):
    """Find the photos that the user named.

    Args:
        names: a list. Each is a file, a folder (subfolders are included), a
            pattern such as `album/**/*.jpg`, an address (http, https, file or
            data), or "-" for standard input. Standard input is one photo, or a
            list of names, one per line or each followed by a zero byte as
            `find -print0` writes them.
        folder: a function that returns the temporary folder for photos that are
            not files. It is called when the first of them is needed.
        standard_input: a binary stream.
        note: called with a line on skipped files of a folder.

    Returns:
        A list of Source in the order of the names; the photos of a folder or
        pattern are sorted. Photos are not read or fetched yet: a Source's
        `path` may raise ImageError.

    Raises:
        InputError: no photo has this name.
    """
    sources = []
    for name in names:
        if str(name) == STANDARD_INPUT:
            sources += _read_standard_input(folder, standard_input, note)
        else:
            sources += _named(str(name), folder, note)
    return sources


def _named(name, folder, note):
    """The Sources of one name, which is not "-"."""
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
    """The files that match a pattern, sorted, each once.

    Files in hidden and system folders are skipped, unless the pattern names the folder.
    """
    named, found = Path(pattern).parts, {}
    for match in sorted(glob.glob(pattern, recursive=True), key=lambda match: (match.count(os.sep), match)):
        if os.path.isfile(match) and not any(is_system(part) for part in Path(match).parts if part not in named):
            found.setdefault(os.path.realpath(match), match)  # a link can lead to a folder that matched already
    return sorted(found.values())


def _named_by_address(address, folder, note):
    """The Sources of an address such as `file:///folder/photo.jpg`. A single photo is named by its address."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        parts = None
    if not parts or parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(f"{address}: not a file on this machine; write file:///folder/photo.jpg, or only the path")
    path = urllib.request.url2pathname(parts.path)
    sources = _named(path, folder, note)
    if [source.name for source in sources] == [path]:  # a photo, not a folder of one
        return [Source(address, path, sources[0].relative)]
    return sources


def _read_standard_input(folder, stream, note):
    """The Sources of standard input: one photo, or the photos of a list of names."""
    data = stream.read()
    if is_image(data):
        return [_Given(data, folder)]
    names = [name for name in _listed(data) if name and name != STANDARD_INPUT]
    if not names:
        raise InputError("standard input: is empty; pipe in a photo, or a list of photos, one per line")
    return [source for name in names for source in _named(name, folder, note)]


def _listed(data):
    """The names in a list from standard input.

    Args:
        data: bytes; a name per line, or names that end with zero bytes as
            `find -print0` writes them. The encoding is UTF-8, UTF-16 with a
            byte order mark, or that of file names on this system.

    Raises:
        InputError: the first name is not text and no such file exists.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))  # names may contain any bytes
    names = text.split("\0") if "\0" in text else [line.strip() for line in re.split("[\r\n]+", text)]
    if any("\udc80" <= letter <= "\udcff" for letter in names[0]) and not os.path.lexists(names[0]):
        raise InputError("standard input: neither a photo nor a list of photos, one per line")
    return names


def is_single(names, sources):
    """Whether the user named exactly one photo, not a folder, pattern or list, which could have more.

    Args:
        names: the names that were given to `find_sources`.
        sources: its result.
    """
    return len(names) == len(sources) == 1 and sources[0].name in (shorten(names[0]), names[0], _STANDARD_INPUT_PHOTO)


def result_paths(sources, folder, suffix):
    """The path of the result of each photo.

    Args:
        sources: a list of Source.
        folder: the folder of results.
        suffix: the suffix of the results, such as ".png".

    Returns:
        A list of Path. A number is added to names that would occur twice.
    """
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
    """The photos that one of several machines captions.

    They are consecutive, so the machines' outputs, concatenated, equal the
    output of a single machine. (`utils.features.cache.shard_of` need not keep the order.)

    Args:
        photos: all photos, as a list.
        number: the number of the machine, from 1.
        count: the number of machines.
    """
    return photos[len(photos) * (number - 1) // count : len(photos) * number // count]
