"""A dataset in its folder: fetched, unpacked, complete."""

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from utils.data.datasets import load_dataset
from utils.data.fetch import archives
from utils.data.fetch.download import fetch
from utils.data.fetch.releases import BY_HAND, RELEASES
from utils.data.images import SUFFIXES
from utils.data.layouts import LAYOUTS, Folder
from utils.errors import InputError
from utils.files import replacing
from utils.progress import silent

# Size and hash of what was fetched, to be checked against where nobody publishes them.
_RECORD = "downloads.json"


def prepare(name, folder, say=lambda line: None, progress=silent):
    """Have a dataset in a folder, as far as a program can.

    Args:
        name: "flickr8k", "flickr30k" or "coco"; of "custom" nothing is fetched.
        folder: is made if need be.
        say: called with lines for a person.
        progress: called as tqdm is.

    Raises:
        InputError: it cannot be fetched or unpacked, or a person must do something first.
    """
    folder = Path(folder)
    if _is_complete(name, folder):
        say(f"{folder}: {name} is complete, nothing is fetched")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another --data_dir") from None
    _unpack_given(name, folder, say, progress)
    releases = [release for release in RELEASES.get(name, ()) if not _is_there(folder, release.shows, release.count)]
    _check_room(folder, releases)
    for release in releases:
        try:
            _fetch_and_unpack(release, folder, say, progress)
        except InputError as error:
            if not release.optional:
                raise
            say(f"done without: {error}")
    if name in BY_HAND and not _is_complete(name, folder):
        say(BY_HAND[name].format(folder=folder))
        raise InputError(f"{folder}: not all photos of {name} are here; what to do stands above")


def _is_complete(name, folder):
    """Whether every photo that the captions speak of is there, in whatever layout, to train and to validate on."""
    try:
        table = load_dataset(name, folder)
    except InputError:
        return False
    return not table.missing and {"train", "val"} <= {photo.split for photo in table.photos}


def _is_there(folder, pattern, count):
    """Whether as many files of a pattern lie under a folder."""
    tree = Folder(folder)
    paths = [*map(str, tree.find("*")), *tree.photos()]
    return sum(fnmatchcase(path, f"*/{pattern}") for path in paths) >= count


def _check_room(folder, releases):
    """Archives go once they are unpacked, so the largest and all that comes out of them must have room."""
    sizes = [release.gigabytes for release in releases]
    free, needed = shutil.disk_usage(folder).free / 1e9, sum(sizes) + max(sizes, default=0)
    if needed > free:
        raise InputError(f"{folder}: {needed:.1f} GB are needed, {free:.1f} GB are free; choose another --data_dir")


def _fetch_and_unpack(release, folder, say, progress):
    remote = release.remote
    record = _read_record(folder)
    known = record.get(remote.name)
    given = (folder / remote.name).exists() and not known
    say(f"{remote.name}: {'here' if (folder / remote.name).exists() else remote.mirrors[0]}")
    path, size, digest = fetch(remote, folder, known and (known["size"], known["digest"]), progress)
    if not given:
        with replacing(folder / _RECORD) as temporary:
            temporary.write_text(json.dumps(record | {remote.name: {"size": size, "digest": digest}}, indent=2))
    limit = int(2 * release.gigabytes * 1e9)
    written, there = archives.unpack(path, folder, release.keep, limit, progress)
    say(f"{remote.name}: {digest}; {written} files unpacked, {there} were there")
    if not _is_there(folder, release.shows, release.count):
        raise InputError(f"{path}: does not hold {release.count} × {release.shows}; is it the file that is published?")
    if not given:  # what a person has put there stays
        path.unlink()


def _read_record(folder):
    try:
        return json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return {}


def _unpack_given(name, folder, say, progress):
    """Unpack archives that a person has put into the folder, unless they are among those that are fetched."""
    ours = {release.remote.name for release in RELEASES.get(name, ())}
    captions = [file for layout in LAYOUTS if name in layout.datasets for file in layout.files]
    keep = [f"*{suffix}" for suffix in SUFFIXES] + [f"*{file}" for file in captions]
    for path in sorted(path for path in folder.iterdir() if path.name.endswith(archives.SUFFIXES)):
        if path.name not in ours:
            written, there = archives.unpack(path, folder, keep, progress=progress)
            say(f"{path.name}: {written} files unpacked, {there} were there")
