"""The folder that a run writes to: existing files are protected, and the run's settings are kept for --resume."""

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
    """Settings with the fields of inner dicts moved to the top level."""
    inner = {key: value for each in settings.values() if isinstance(each, dict) for key, value in each.items()}
    return {key: value for key, value in settings.items() if not isinstance(value, dict)} | inner


def read(folder):
    """The settings of the interrupted run in a folder, as `claim` wrote them.

    Raises:
        InputError: the folder holds no such run, or run.json is damaged.
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
    """Raise InputError unless this run may write to `folder`.

    Args:
        folder: a Path.
        settings: all settings of the run, a JSON object; its values may be JSON objects.
        overwrite: whether an existing model or run may be replaced.
        resume: whether the run in the folder is continued.
        holds: file by which a finished folder is recognised.

    Raises:
        InputError: the folder holds a model or an unfinished run; with `resume`, no run or one with other settings.
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


def describe_data(photos):
    """Hashes of the data that a run is trained on, by name.

    Only the size of each photo file is read, so that large datasets take seconds.

    Args:
        photos: a list of Photo.
    """

    def digest(rows):
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]

    return {
        "photos": digest((photo.id, photo.path.stat().st_size) for photo in photos),
        "splits": digest((photo.id, photo.split) for photo in photos),
        "captions": digest((photo.id, photo.references) for photo in photos),
    }


def check_data(folder, data):
    """Raise InputError unless the data are those that the run began with.

    Args:
        folder: a Path.
        data: hashes by name, from `describe_data`.

    Raises:
        InputError: the data have changed.
    """
    begun = read(folder)["data"]
    changed = [name for name in data if begun.get(name) != data[name]]
    if changed:
        raise InputError(
            f"{folder}: {' and '.join(changed)} have changed since the run began; restore them to resume the run, or "
            "train again with --overwrite"
        )


def claim(folder, settings, resume):
    """Create the folder and write the settings of the run into it.

    Args:
        folder: a Path.
        settings: a JSON object.
        resume: whether the run in the folder is continued; then nothing is written.

    Raises:
        InputError: the folder cannot be written, or the disk has too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
            with replacing(folder / RUN_FILE) as temporary:
                temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another --output_dir") from None
    free = shutil.disk_usage(folder).free
    if free < _OUTPUT_BYTES:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free and training needs {_OUTPUT_BYTES / 1e6:.0f} MB; free disk space"
        )
