"""Large files over bad connections: resumed, checked, from whichever mirror has them.

`keras.utils.get_file` begins anew after every break, which never ends for
COCO's 19 GB.
"""

import hashlib
import os
import time
from collections import namedtuple
from pathlib import Path

import requests

from utils.errors import InputError
from utils.progress import silent

# A file to fetch. `size` is in bytes, None where nobody publishes it; `digest`
# is "sha256:…" or "md5:…", or None. Without either, what came first is what is
# checked against from then on.
Remote = namedtuple("Remote", "name mirrors size digest")

_BLOCK = 1 << 16

# Seconds without an answer; attempts in a row that bring no byte before a mirror is given up.
_TIMEOUT = 30
_ATTEMPTS = 4


class _MirrorError(Exception):
    """Why a mirror is of no use."""


def fetch(remote, folder, known=None, progress=silent, pause=2):
    """Have a file in a folder, whole and checked.

    A file of that name that is there is checked and kept; a part of one that
    was begun is gone on with.

    Args:
        remote: a Remote.
        folder: where it shall lie.
        known: size and digest noted at the first download, where none is published.
        progress: called as tqdm is.
        pause: seconds to wait after a break; twice as long after each further one.

    Returns:
        The path, its size and its "sha256:…".

    Raises:
        InputError: what is there is another file, or no mirror gives it; all reasons are told.
    """
    path, partial = Path(folder) / remote.name, Path(folder) / f"{remote.name}.partial"
    size, digest = (remote.size, remote.digest) if remote.digest else known or (remote.size, None)
    if path.exists():
        found = _checked(path, size, digest)
        if found is None:
            raise InputError(f"{path}: not the file that is published (its size or hash differs); delete it or move it")
        return path, *found
    reasons = []
    for address in remote.mirrors:
        try:
            _download(address, partial, size, progress, pause)
            found = _checked(partial, size, digest)
            if found is None:
                partial.unlink()
                raise _MirrorError("gives another file than is published: its hash differs")
            os.replace(partial, path)
            return path, *found
        except _MirrorError as error:
            reasons.append(f"{address} {error}")
        except OSError as error:
            raise InputError(
                f"{partial}: cannot be written ({error.strerror or error}); what has come is kept: "
                "make room and run again"
            ) from None
    raise InputError(
        f"{remote.name} cannot be fetched: {'; '.join(reasons)}. Fetch it by other means, put it into {folder} "
        "and run again"
    )


def _checked(path, size, digest):
    """The size and "sha256:…" of a file if they are as expected, else None."""
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
    """Fetch the rest of a file, again and again as long as something comes."""
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if _stream(address, partial, before, size, progress):
                return
            reason = "breaks off"
        except requests.exceptions.ChunkedEncodingError:
            reason = "breaks off"
        except requests.RequestException as error:
            reason = f"does not answer ({type(error).__name__})"
        came = partial.exists() and partial.stat().st_size > before
        failures = 0 if came else failures + 1
        if failures == _ATTEMPTS:
            raise _MirrorError(reason)
        time.sleep(pause * 2**failures if pause else 0)


def _stream(address, partial, start, size, progress):
    """One request from byte `start` on; True once the file is whole."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:  # there is nothing after what we have
            if size is None or start != size:
                partial.unlink()
            return start == size
        if response.status_code >= 500 or response.status_code == 429:
            raise requests.HTTPError(f"status {response.status_code}")
        if response.status_code not in (200, 206):
            raise _MirrorError(f"answers {response.status_code} {response.reason}")
        if response.status_code == 200:
            start = 0  # this server does not resume
        total = _total(response, start)
        if None not in (size, total) and total != size:
            raise _MirrorError(f"gives a file of {total} bytes, not of {size}")
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
    """The size of the whole file as the server tells it, or None."""
    content_range = response.headers.get("Content-Range", "")
    if response.status_code == 206:
        first, _, total = content_range.removeprefix("bytes ").partition("/")
        if not first.startswith(f"{start}-"):
            raise _MirrorError("sends another part than was asked for")
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
