"""Download large files over unreliable connections. Interrupted downloads are continued, and hashes are checked.

`keras.utils.get_file` cannot continue a download. After each lost connection, it
starts again from the first byte, so COCO's 19 GB may never arrive.
"""

import hashlib
import os
import time
from collections import namedtuple
from pathlib import Path

import requests

from utils.errors import InputError
from utils.progress import silent

# A file to fetch. `mirrors` is a tuple of addresses of the same file. `size` is in bytes. `digest` is "sha256:…" or
# "md5:…". Both are None if they are not published; later downloads are then compared with the first.
Remote = namedtuple("Remote", "name mirrors size digest")

_BLOCK = 1 << 16

# An attempt fails after so many seconds without an answer. After so many failed attempts in a row, the next mirror is
# tried.
_TIMEOUT = 30
_ATTEMPTS = 4


class _MirrorError(Exception):
    """Raised when a file cannot be fetched from a mirror. The message is the reason."""


def fetch(remote, folder, known=None, progress=silent, pause=2):
    """Fetch a file to a folder and check its size and hash.

    If the file exists already, it is only checked. An interrupted download is continued.

    Args:
        remote: a Remote: the file's name, its addresses, its size and its hash.
        folder: the folder for the file.
        known: (size, digest) of an earlier download, or None. If no hash is published, the file must
            have this size and this digest.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.
        pause: seconds to wait after a lost connection. The pause doubles after
            each attempt that brings no new byte.

    Returns:
        (path, size, digest): the path of the file, its size in bytes, and its hash as "sha256:…".

    Raises:
        InputError: the existing file differs from the published one, or no
            mirror sends the file. The message has the reason for each mirror.
    """
    path, partial = Path(folder) / remote.name, Path(folder) / f"{remote.name}.partial"
    size, digest = (remote.size, remote.digest) if remote.digest else known or (remote.size, None)
    if path.exists():
        found = _checked(path, size, digest)
        if found is None:
            raise InputError(f"{path}: not the published file (its size or hash differs); delete it or move it")
        return path, *found
    reasons = []
    for address in remote.mirrors:
        try:
            _download(address, partial, size, progress, pause)
            found = _checked(partial, size, digest)
            if found is None:
                partial.unlink()
                raise _MirrorError("sends another file than the published one: its hash differs")
            os.replace(partial, path)
            return path, *found
        except _MirrorError as error:
            reasons.append(f"{address} {error}")
        except OSError as error:
            raise InputError(
                f"{partial}: cannot be written ({error.strerror or error}); the fetched part is kept: "
                "free some disk space and run again"
            ) from None
    raise InputError(
        f"{remote.name} cannot be fetched: {'; '.join(reasons)}. Download it with another program, put it into "
        f"{folder} and run again"
    )


def _checked(path, size, digest):
    """Check the size and the hash of a file.

    Args:
        path: the file.
        size: the expected size in bytes, or None for any.
        digest: the expected hash, "sha256:…" or "md5:…", or None for any.

    Returns:
        (size, digest) of the file: its size in bytes, and its hash as "sha256:…". None if the size or the
        hash is not the expected one.
    """
    kind, _, expected = (digest or "sha256:").partition(":")
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if kind == "md5":
            file.seek(0)
            right = hashlib.file_digest(file, "md5").hexdigest() == expected
        else:
            right = expected in ("", sha256)
        length = file.seek(0, os.SEEK_END)
    return (length, f"sha256:{sha256}") if right and size in (None, length) else None


def _download(address, partial, size, progress, pause):
    """Fetch the missing part of a file from one mirror. Failed attempts are repeated.

    Args:
        address: the address of the file.
        partial: the Path of the part that is already fetched. The rest is appended to it.
        size: the expected size of the whole file in bytes, or None.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.
        pause: seconds to wait after a lost connection.

    Raises:
        _MirrorError: the mirror does not have the file, or several attempts in a row brought no new byte.
    """
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if _stream(address, partial, before, size, progress):
                return
            reason = "loses the connection"
        except requests.exceptions.ChunkedEncodingError:
            reason = "loses the connection"
        except requests.RequestException as error:
            reason = f"does not answer ({type(error).__name__})"
        came = partial.exists() and partial.stat().st_size > before
        failures = 0 if came else failures + 1
        if failures == _ATTEMPTS:
            raise _MirrorError(reason)
        time.sleep(pause * 2**failures if pause else 0)


def _stream(address, partial, start, size, progress):
    """Send one request for the missing part of a file, and append the answer to the part that is already fetched.

    If the connection is lost, the bytes that have arrived are kept, and an exception of `requests` is raised.

    Args:
        address: the address of the file.
        partial: the Path of the part that is already fetched.
        start: the size of this part in bytes.
        size: the expected size of the whole file in bytes, or None.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        True if the file is then complete, else False.

    Raises:
        requests.RequestException: a network error, or an error of the server that may be temporary.
        _MirrorError: the mirror does not have the file, or sends another one.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:  # the server has no bytes after `start`
            if size is None or start != size:
                partial.unlink()
            return start == size
        if response.status_code >= 500 or response.status_code == 429:
            raise requests.HTTPError(f"status {response.status_code}")
        if response.status_code not in (200, 206):
            raise _MirrorError(f"answers {response.status_code} {response.reason}")
        if response.status_code == 200:
            start = 0  # this server cannot continue a download
        total = _total(response, start)
        if None not in (size, total) and total != size:
            raise _MirrorError(f"has a file of {total} bytes, not {size}")
        end, came = total if size is None else size, start
        with (
            open(partial, "r+b" if start else "wb") as file,
            progress(total=end, initial=start, unit="B", unit_scale=True, desc=partial.stem) as bar,
        ):
            file.seek(start)
            for block in response.iter_content(_BLOCK):
                came += len(block)
                if end is not None and came > end:
                    raise _MirrorError(f"sends more than the {end} bytes it announced")
                file.write(block)
                bar.update(len(block))
            file.truncate()
        return end is None or came == end


def _total(response, start):
    """Return the size of the whole file in bytes, as the server announces it; None if the server does not announce it.

    Args:
        response: the server's answer, a `requests.Response`.
        start: the number of bytes at the beginning of the file that were not requested.
    """
    content_range = response.headers.get("Content-Range", "")
    if response.status_code == 206:
        first, _, total = content_range.removeprefix("bytes ").partition("/")
        if not first.startswith(f"{start}-"):
            raise _MirrorError("sends another part of the file than requested")
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
