"""Download a dataset and unpack it."""

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from utils.data.datasets import load_dataset
from utils.data.fetch import archives
from utils.data.fetch.download import fetch
from utils.data.fetch.releases import BY_HAND, RELEASES
from utils.data.layouts import LAYOUTS, Folder
from utils.data.photo_files import SUFFIXES
from utils.errors import InputError
from utils.files import replacing
from utils.progress import silent

# The name of the file with the size and the hash of each fetched archive. Later downloads must have the same.
_RECORD = "downloads.json"


def fetch_dataset(name, folder, say=lambda line: None, progress=silent):
    """Fetch and unpack the files of a dataset that are missing in a folder.

    Args:
        name: "flickr8k", "flickr30k" or "coco". For "custom", nothing is fetched.
        folder: the dataset's folder. It is created if it does not exist.
        say: a function that shows a line of text to the user.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Raises:
        InputError: the dataset cannot be fetched or unpacked, or the user must
            first do something that a program cannot do, such as agree to terms.
    """
    folder = Path(folder)
    if _is_complete(name, folder):
        say(f"{folder}: {name} is complete, nothing is fetched")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); choose another --data_dir") from None
    _unpack_given(name, folder, say, progress)
    releases = [release for release in RELEASES.get(name, ()) if not _is_there(folder, release.shows, release.count)]
    _check_room(folder, releases)
    for release in releases:
        try:
            _fetch_and_unpack(release, folder, say, progress)
        except InputError as error:
            if not release.optional:
                raise
            say(f"skipped, because the dataset is usable without it: {error}")
    if name in BY_HAND and not _is_complete(name, folder):
        say(BY_HAND[name].format(folder=folder))
        raise InputError(f"{folder}: photos of {name} are missing; follow the instructions above")


def _is_complete(name, folder):
    """Return True if a folder has the captions and all captioned photos of a dataset.

    Both splits, "train" and "val", must have photos. `name` is the dataset's name, such as "coco".
    """
    try:
        table = load_dataset(name, folder)
    except InputError:
        return False
    return not table.missing and {"train", "val"} <= {photo.split for photo in table.photos}


def _is_there(folder, pattern, count):
    """Return True if a folder has the files of an archive: at least `count` files whose paths end with a pattern.

    `folder` is a Path; its subfolders count, too. `pattern` is a str such as "val2017/*.jpg".
    """
    tree = Folder(folder)
    paths = [*map(str, tree.find("*")), *tree.photos()]
    return sum(fnmatchcase(path, f"*/{pattern}") for path in paths) >= count


def _check_room(folder, releases):
    """Raise InputError if the disk has too little free space for all unpacked files and the largest archive.

    Only one archive is there at a time: it is deleted before the next one is fetched.

    Args:
        folder: the dataset's folder, a Path.
        releases: a list of Release, the archives to fetch.
    """
    sizes = [release.gigabytes for release in releases]
    free, needed = shutil.disk_usage(folder).free / 1e9, sum(sizes) + max(sizes, default=0)
    if needed > free:
        raise InputError(
            f"{folder}: {needed:.1f} GB are needed, but only {free:.1f} GB are free; choose another --data_dir"
        )


def _fetch_and_unpack(release, folder, say, progress):
    """Fetch an archive, unpack it and delete it. An archive that the user put into the folder is not deleted.

    Args:
        release: a Release, which describes the archive: its addresses, and the files that it must contain.
        folder: the dataset's folder, a Path.
        say: a function that shows a line of text to the user.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Raises:
        InputError: the archive cannot be fetched or unpacked, or does not have the expected files.
    """
    remote = release.remote
    record = _read_record(folder)
    known = record.get(remote.name)
    given = (folder / remote.name).exists() and not known
    place = "already in the folder" if (folder / remote.name).exists() else f"fetching from {remote.mirrors[0]}"
    say(f"{remote.name}: {place}")
    path, size, digest = fetch(remote, folder, known and (known["size"], known["digest"]), progress)
    if not given:
        with replacing(folder / _RECORD) as temporary:
            temporary.write_text(json.dumps(record | {remote.name: {"size": size, "digest": digest}}, indent=2))
    limit = int(2 * release.gigabytes * 1e9)
    written, there = archives.unpack(path, folder, release.keep, limit, progress)
    say(f"{remote.name}: {digest}; {written} files unpacked, {there} existed already")
    if not _is_there(folder, release.shows, release.count):
        raise InputError(
            f"{path}: has fewer than {release.count} files {release.shows}, so it is not the published archive; "
            "delete it and run again"
        )
    if not given:  # an archive that the user put there is kept
        path.unlink()


def _read_record(folder):
    """Read the sizes and hashes of the archives that were fetched to `folder` earlier.

    Returns:
        A dict from an archive's name to a dict with `size` in bytes and `digest`, such as "sha256:…". It is empty if no
        archive was fetched.
    """
    try:
        return json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return {}


def _unpack_given(name, folder, say, progress):
    """Unpack the archives that the user has put into the folder of a dataset.

    Archives that `RELEASES` lists are skipped, because `fetch_dataset` unpacks them.
    `name` is the dataset's name. `say` shows a line of text to the user. `progress` makes a progress bar like `tqdm`.
    """
    ours = {release.remote.name for release in RELEASES.get(name, ())}
    captions = [file for layout in LAYOUTS if name in layout.datasets for file in layout.files]
    keep = [f"*{suffix}" for suffix in SUFFIXES] + [f"*{file}" for file in captions]
    for path in sorted(path for path in folder.iterdir() if path.name.endswith(archives.SUFFIXES)):
        if path.name not in ours:
            written, there = archives.unpack(path, folder, keep, progress=progress)
            say(f"{path.name}: {written} files unpacked, {there} existed already")
