"""Find the photos that the user names on the command line: files, folders, patterns, addresses, standard input."""

import codecs
import glob
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from functools import cached_property, partial
from pathlib import Path

from utils import files
from utils.data.images import is_image, name_photo
from utils.data.layouts.text import decode
from utils.data.photo_files import find_photos, is_system
from utils.errors import ImageError, InputError, reason, shorten

# The name that the user gives to read standard input.
STANDARD_INPUT = "-"

# The name, in all output, of a photo that was read from standard input.
_STANDARD_INPUT_PHOTO = "standard input"

# Seconds without an answer after which a download fails.
_TIMEOUT = 20

# Maximum size of a download in bytes. Photos are smaller.
_MAX_BYTES = 100_000_000


class Source:
    """Store the name and the file of a photo that the user named.

    Args:
        name: the name of the photo in all output. It is the path or address that the user gave.
        path: the file.
        relative: a path such as "album/dog.jpg". The photo's result files get this path in the folder of results, but
            with another suffix.

    Attributes:
        local: True if the file is the user's own; False if it is a temporary copy.
    """

    local = True

    def __init__(self, name, path, relative):
        self.name, self.path, self.relative = str(name), Path(path), Path(relative)


class _Fetched(Source):
    """Store a photo that is not a file on this machine. The first use of `path` writes it to a temporary folder.

    Args:
        name: the name of the photo in all output, a str.
        relative: a path such as "dog.jpg", a str. The photo's result files get this path in the folder of results, but
            with another suffix.
        folder: the temporary folder, a str or Path.
        fetch: a function without arguments that returns the bytes of the photo.
    """

    local = False

    def __init__(self, name, folder, relative, fetch):
        self.name, self.relative = name, Path(relative)
        self._folder, self._fetch = folder, fetch

    @cached_property
    def path(self):
        file = Path(self._folder) / f"{id(self)}"
        name_photo(file, self.name)
        data = self._fetch()
        try:
            file.write_bytes(data)
        except OSError as error:  # a full disk
            raise ImageError(f"{self.name}: cannot be written to {file.parent} ({reason(error)})") from None
        return file


def _download(address):
    """Return the bytes of a photo at a web address or in a `data:` address.

    Raises:
        ImageError: the photo cannot be fetched, or is larger than `_MAX_BYTES`.
    """
    name, headers = shorten(address), {"User-Agent": "image-captioning", "Accept": "image/*"}
    try:
        # A new opener, because urlopen keeps using the proxies of its first call.
        request = urllib.request.Request(_ascii_address(address), headers=headers)
        with urllib.request.build_opener().open(request, timeout=_TIMEOUT) as answer:
            data = answer.read(_MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ImageError(f"{name}: the server answers {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:  # a bad address or certificate, no network, …
        cause = getattr(error, "reason", error)
        said = reason(cause if isinstance(cause, Exception) else Exception(cause))
        raise ImageError(f"{name}: cannot be fetched ({said})") from None
    if len(data) > _MAX_BYTES:
        raise ImageError(f"{name}: larger than {_MAX_BYTES / 1e6:.0f} MB; download and shrink it first")
    return data


def _ascii_address(address):
    """Encode the spaces and non-ASCII letters of an address: in the host's name by IDNA, elsewhere by percent signs.

    Args:
        address: a web address, or a `data:` address, which is returned unchanged.

    Returns:
        The address, an ASCII str.

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


def find_sources(names, folder, standard_input, note=lambda line: None):
    """Find the photos that the user named. No photo is opened or fetched yet.

    Args:
        names: a list of names. A name is a file, a folder, a pattern such as `album/**/*.jpg`, an address
            (http, https, file or data), or "-" for standard input. The subfolders of a folder are
            included. Standard input contains one photo, or a list of names. The list has one name per
            line, or a zero byte after each name, as `find -print0` writes it.
        folder: the temporary folder for photos that are not files on this machine.
        standard_input: a binary stream.
        note: a function that shows a line of text about skipped files to the user.

    Returns:
        A list of Source in the order of the names. The photos of a folder or a pattern are sorted. If a
        photo cannot be fetched, the attribute `path` of its Source raises ImageError.

    Raises:
        InputError: a name is not that of a photo, or standard input contains neither a photo nor the name of one.
    """
    sources = []
    for name in names:
        if str(name) == STANDARD_INPUT:
            sources += _read_standard_input(folder, standard_input, note)
        else:
            sources += _named(str(name), folder, note)
    return sources


def _named(name, folder, note):
    """Find the photos that one argument of the command line names.

    Args:
        name: a file, a folder, a pattern such as "*.jpg", or an address, as a str.
        folder: the temporary folder for photos that are not files on this machine.
        note: a function that shows a line of text about skipped files to the user.

    Returns:
        A list of Source.

    Raises:
        InputError: there is no such photo.
    """
    if name.lower().startswith(("http://", "https://")):
        last = name.split("?")[0].split("#")[0].rstrip("/").rsplit("/", 1)[-1]
        return [_Fetched(shorten(name), folder, last or "photo", partial(_download, name))]
    if name.lower().startswith("data:"):
        return [_Fetched(shorten(name), folder, "photo", partial(_download, name))]
    if name.lower().startswith("file:"):
        return _named_by_address(name, folder, note)
    if re.match("[A-Za-z][A-Za-z0-9+.-]+://", name):
        raise InputError(f"{shorten(name)}: only http, https, file and data addresses can be read; download it first")
    if not name:  # Path("") would be the current folder
        raise InputError("the name of a photo is empty, as of a variable without a value; name a file or a folder")
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
    """Find the files that match a pattern such as "*.jpg". Returns a sorted list of their paths, each a str.

    A file that can be reached by two paths is listed once. Hidden files, and files in hidden folders or in folders of
    the operating system, are skipped, unless the pattern contains the name of the file or folder.
    """
    named, found = Path(pattern).parts, {}
    for match in sorted(glob.glob(pattern, recursive=True), key=lambda match: (match.count(os.sep), match)):
        if os.path.isfile(match) and not any(is_system(part) for part in Path(match).parts if part not in named):
            found.setdefault(os.path.realpath(match), match)  # a link can lead to a folder that matched already
    return sorted(found.values())


def _named_by_address(address, folder, note):
    """Find the photos of an address such as `file:///folder/photo.jpg`.

    Args:
        address: the address of a photo or a folder.
        folder: the temporary folder for photos that are not files on this machine.
        note: a function that shows a line of text about skipped files to the user.

    Returns:
        A list of Source. If the address is that of a photo, the Source's name is the address.

    Raises:
        InputError: no photo has this address.
    """
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
    """Find the photos in standard input, which contains one photo or a list of names.

    Names of a list that do not exist are skipped with a note, because a photo may be gone since the list was made.

    Args:
        folder: the temporary folder for photos that are not files on this machine.
        stream: the binary stream.
        note: a function that shows a line of text about skipped files to the user.

    Returns:
        A list of Source.

    Raises:
        InputError: the stream is empty, or none of the names is that of a photo.
    """
    data = stream.read()
    if is_image(data):
        return [_Fetched(_STANDARD_INPUT_PHOTO, folder, "standard_input", lambda: data)]
    names = [name for name in _listed(data) if name and name != STANDARD_INPUT]
    if not names:
        raise InputError("standard input: is empty; pipe in a photo, or a list of photos, one per line")
    sources, wrong = [], []
    for name in names:
        try:
            sources += _named(name, folder, note)
        except InputError as error:
            wrong.append(error)
    if not sources:
        raise wrong[0]
    for error in wrong:
        note(error)
    if wrong:
        note(f"{len(wrong)} of {len(names)} names in the list are skipped")
    return sources


def _listed(data):
    """Split the bytes from standard input into the names of photos.

    Args:
        data: bytes with one name per line, or with a zero byte after each name.
            The encoding is UTF-8, UTF-16, UTF-32 or that of file names on
            this system.

    Returns:
        A list of str.

    Raises:
        InputError: the first name is not valid text, and no file has this name.
    """
    try:
        text = decode(data)
    except UnicodeDecodeError:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))  # names may contain any bytes
    names = text.split("\0") if "\0" in text else [line.strip() for line in re.split("[\r\n]+", text)]
    if any("\udc80" <= letter <= "\udcff" for letter in names[0]) and not os.path.lexists(names[0]):
        raise InputError("standard input: neither a photo nor a list of photos, one per line")
    return names


def is_single(names, sources):
    """Return True if the user named exactly one photo.

    The result is False for a folder, a pattern or a list with a single photo, because it could have more.

    Args:
        names: the list of names that the user gave.
        sources: the photos that were found for these names, a list of Source.
    """
    return len(names) == len(sources) == 1 and sources[0].name in (shorten(names[0]), names[0], _STANDARD_INPUT_PHOTO)


def result_paths(sources, folder, suffix):
    """Choose the path of a result file, such as a picture of the attention, for each photo.

    Args:
        sources: a list of Source, one per photo.
        folder: the folder of the result files.
        suffix: the suffix of the result files, such as ".png".

    Returns:
        A list of Path, one per photo. If two photos would have the same path, a number is added to the second.
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
    """Select the photos that this machine captions, if several machines divide the photos.

    The photos of a machine are consecutive. So the outputs of all machines, one
    after the other, equal the output of a single machine.

    Args:
        photos: all photos, as a list.
        number: the number of this machine, from 1.
        count: the number of machines.

    Returns:
        A list of photos.
    """
    return photos[len(photos) * (number - 1) // count : len(photos) * number // count]
