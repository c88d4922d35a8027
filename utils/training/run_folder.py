"""Manage the model folder of a training run: protect existing files, and store the run's settings for --resume."""

import hashlib
import json
import shutil

from utils.errors import InputError, reason, shorten
from utils.files import exists, replacing

# Files of an unfinished run.
RUN_FILE, CHECKPOINT_FILE = "run.json", "checkpoint.npz"

# File by which a finished model folder is recognised.
_MODEL_FILE = "config.json"

# Disk space for checkpoint, model and pictures, checked before the work starts.
_OUTPUT_BYTES = 500_000_000


def _flat(settings):
    """Return a copy of the dict `settings` without inner dicts: their items are moved to the top level."""
    inner = {key: value for each in settings.values() if isinstance(each, dict) for key, value in each.items()}
    return {key: value for key, value in settings.items() if not isinstance(value, dict)} | inner


def read(folder):
    """Read the settings of the interrupted run in a folder from its run.json. Returns a dict. `folder` is a Path.

    Raises:
        InputError: the folder holds no interrupted run, or run.json is damaged.
    """
    run_file = folder / RUN_FILE
    try:
        begun = json.loads(run_file.read_text(encoding="utf-8"))
        begun.items()
    except FileNotFoundError:
        raise InputError(f"{folder}: no interrupted run to resume; leave --resume out") from None
    except OSError as error:
        raise InputError(f"{shorten(run_file)}: cannot be read ({reason(error)})") from None
    except (ValueError, AttributeError):
        raise InputError(f"{run_file}: damaged; train again with --overwrite") from None
    return begun


def check(folder, settings, overwrite, resume, holds=_MODEL_FILE):
    """Check, before training begins, that this run may write to a folder.

    Args:
        folder: the model folder of the run, a Path.
        settings: all settings of the run, a dict, which may have inner dicts.
        overwrite: True if an existing model or run may be replaced.
        resume: True to continue the run in the folder.
        holds: name of the file by which the folder of a finished run is recognised.

    Raises:
        InputError: the folder holds a model or an unfinished run, and `overwrite` and `resume` are False. Or `resume`
            is True and the folder holds no run, or a run with other settings.
    """
    if resume:
        begun, now = _flat(read(folder)), _flat(settings)
        if begun.get("version") != now.get("version"):
            raise InputError(
                f"{folder}: another version of this program began its run, and this version cannot resume it; "
                "train again with --overwrite"
            )
        different = [f"{key} {begun.get(key)}, not {now[key]}" for key in now if begun.get(key) != now[key]]
        if different:
            raise InputError(
                f"{folder}: the run began with {'; '.join(different)}; leave that out to resume the run, or train "
                "again with --overwrite"
            )
    elif not overwrite and exists(folder / RUN_FILE):
        raise InputError(
            f"{folder}: holds an interrupted run; continue it with --resume, or replace it with --overwrite"
        )
    elif not overwrite and exists(folder / holds):
        what = "a model" if holds == _MODEL_FILE else holds
        raise InputError(f"{folder}: holds {what}; give another --output_dir, or --overwrite to replace it")


def _digest(rows):
    """Compute a hash of rows that does not depend on their order: a string of 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def describe_data(photos):
    """Compute hashes of a run's training data, by which a resumed run detects changed data.

    Of each photo file, only the size is read. So the hashes of a large dataset take only seconds.

    Args:
        photos: a list of Photo.

    Returns:
        A dict with the keys "photos", "splits" and "captions". Each value is a hash: 16 hexadecimal digits.
    """
    return {
        "photos": _digest((photo.id, photo.path.stat().st_size) for photo in photos),
        "splits": _digest((photo.id, photo.split) for photo in photos),
        "captions": _digest((photo.id, photo.references) for photo in photos),
    }


def check_data(folder, data):
    """Check, before a run is resumed, that its training data have not changed.

    Args:
        folder: folder of the run, a Path.
        data: hashes of the present data, a dict such as `describe_data` returns.

    Raises:
        InputError: the data have changed since the run began.
    """
    begun = read(folder)["data"]
    changed = [name for name in data if begun.get(name) != data[name]]
    if changed:
        raise InputError(
            f"{folder}: {' and '.join(changed)} have changed since the run began; restore them to resume the run, or "
            "train again with --overwrite"
        )


def check_contents(folder, contents):
    """Raise InputError if a photo whose regions are cached has changed since the run began.

    The first call in a run stores a hash of `contents` in run.json. Later calls compare with this hash.

    Args:
        folder: folder of the run, a Path.
        contents: a list of (image id, description of the file), from `RegionCache.contents`.

    Raises:
        InputError: a photo has changed, or run.json cannot be written.
    """
    settings, data = read(folder), {"contents of photos": _digest(contents)}
    if settings["data"].keys() >= data.keys():
        check_data(folder, data)
    else:
        settings["data"] |= data
        _write(folder, settings)


def _write(folder, settings):
    """Write the JSON object `settings` to run.json."""
    with replacing(folder / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def claim(folder, settings, resume):
    """Create the folder of a new run and write the run's settings into it, as run.json.

    Args:
        folder: the model folder of the run, a Path.
        settings: all settings of the run, a dict that can be written as JSON.
        resume: True if the run in the folder is continued. Then nothing is written.

    Raises:
        InputError: the folder cannot be written, or the disk has too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
            _write(folder, settings)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another --output_dir") from None
    free = shutil.disk_usage(folder).free
    if free < _OUTPUT_BYTES:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free and training needs {_OUTPUT_BYTES / 1e6:.0f} MB; free disk space"
        )
