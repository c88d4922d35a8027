"""The folder that a run writes to: nothing in it is lost, and a run is resumed as it was begun."""

import json
import shutil

from utils.errors import InputError, reason, shorten
from utils.files import exists

# In a folder while its run goes on, or after it was interrupted.
RUN_FILE, CHECKPOINT_FILE = "run.json", "checkpoint.npz"

# By what a finished model folder is known.
_MODEL_FILE = "config.json"

# Room for checkpoint, model and pictures; asked for before the work starts.
_OUTPUT_BYTES = 500_000_000


def _flat(settings):
    inner = {key: value for each in settings.values() if isinstance(each, dict) for key, value in each.items()}
    return {key: value for key, value in settings.items() if not isinstance(value, dict)} | inner


def check(folder, settings, overwrite, resume, holds=_MODEL_FILE):
    """Never lose a model or a run that someone may want.

    Args:
        folder: a Path.
        settings: all that decides the run, a JSON object whose values may be such objects.
        overwrite: whether what is there may be replaced.
        resume: whether the run that was begun there goes on.
        holds: the file by which a finished folder is known.

    Raises:
        InputError: the folder is in use, or holds no such run.
    """
    run_file = folder / RUN_FILE
    if resume:
        try:
            begun = _flat(json.loads(run_file.read_text()))
        except FileNotFoundError:
            raise InputError(f"{folder}: no interrupted run to resume; leave --resume out") from None
        except OSError as error:
            raise InputError(f"{shorten(run_file)}: cannot be read ({reason(error)})") from None
        except (ValueError, AttributeError):
            raise InputError(f"{run_file}: damaged; train anew with --overwrite") from None
        now = _flat(settings)
        different = ", ".join(f"{key} {begun.get(key)}" for key in now if begun.get(key) != now[key])
        if different:
            raise InputError(f"{folder}: the run was begun with {different}; give the same flags to resume it")
    elif not overwrite and exists(run_file):
        raise InputError(f"{folder}: holds an interrupted run; --resume goes on with it, --overwrite begins anew")
    elif not overwrite and exists(folder / holds):
        what = "a model" if holds == _MODEL_FILE else holds
        raise InputError(f"{folder}: holds {what}; give another --output_dir, or --overwrite to replace it")


def claim(folder, settings, resume):
    """Make the folder and note in it what is being trained.

    Raises:
        InputError: it cannot be written, or there is too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
            (folder / RUN_FILE).write_text(json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another --output_dir") from None
    free = shutil.disk_usage(folder).free
    if free < _OUTPUT_BYTES:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free, training needs {_OUTPUT_BYTES / 1e6:.0f} MB; make room"
        )
