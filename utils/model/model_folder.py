"""Functions that find model folders and read their config.json. Importing them is fast: they need no TensorFlow."""

import json
import os
from pathlib import Path

from utils.errors import InputError, reason, shorten
from utils.files import is_file

# Format version in config.json. A change of the folder that this program could not read gets a new number.
FORMAT = 1

ENCODER_KEYS = {"name", "weights", "layer", "image_size", "seed", "mirror", "fingerprint"}
DECODER_KEYS = {"units", "attention_units", "embedding_size", "dropout", "grounded", "value_size"}
CONFIG_KEYS = {"format", "dataset", "encoder", "decoder", "max_words", "consensus", "training"}

# The folder of the scripts and of `models/`.
_ROOT = Path(__file__).resolve().parents[2]


def find_model(folder):
    """Find a model folder. A relative path is looked up in the working folder, then in the folder of the scripts.

    Args:
        folder: the path of the model folder, or the name of a model in `models/`, a string or a Path.

    Returns:
        A Path. It may name a folder that does not exist.
    """
    # os.path does not raise exceptions for invalid names, pathlib does.
    if not os.path.lexists(folder):
        for beside in (_ROOT / folder, _ROOT / "models" / folder):
            if os.path.isfile(beside / "config.json"):
                return beside
    return Path(folder)


def read_config(folder):
    """Read config.json of a model folder, and check its format version and keys.

    Args:
        folder: the path of the model folder, a str or Path. A relative path is looked up in the working folder, then in
            the folder of the scripts.

    Returns:
        The content of config.json, a dict with the keys `CONFIG_KEYS`.

    Raises:
        InputError: the file is missing, damaged, or has another format version.
    """
    folder = find_model(folder)
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        version = config["format"]
    except FileNotFoundError:
        weights = folder / "encoder.h5"
        if is_file(weights):
            raise InputError(
                f"{folder}: holds an encoder, no model; train a model with train.py --encoder_weights {weights}"
            ) from None
        here = [f"models/{path.parent.name}" for path in sorted(_ROOT.glob("models/*/config.json"))]
        known = f", or name one of {', '.join(here)}" if here else ""
        raise InputError(
            f"{folder}: no model in this folder (config.json is missing); train one with train.py{known}"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {shorten(path)}: {reason(error)}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {path}: damaged ({reason(error)}); copy or train the model again") from None
    if version != FORMAT:
        raise InputError(
            f"cannot read {path}: it has format {version}, but this program reads format {FORMAT}; "
            "use the program's version that wrote it"
        )
    # Earlier versions did not write these keys, and wrote a key `pool` that had no effect if it was 1.
    config.setdefault("consensus", False)
    if isinstance(config.get("encoder"), dict):
        config["encoder"].setdefault("mirror", False)
        if config["encoder"].get("pool") == 1:
            del config["encoder"]["pool"]
    if isinstance(config.get("decoder"), dict):
        config["decoder"].setdefault("grounded", False)
        config["decoder"].setdefault("value_size", None)
    for where, expected in (("", CONFIG_KEYS), ("encoder", ENCODER_KEYS), ("decoder", DECODER_KEYS)):
        found = config[where] if where else config
        if not isinstance(found, dict) or found.keys() != expected:
            odd = sorted(expected ^ set(found)) if isinstance(found, dict) else [where]
            raise InputError(f"cannot read {path}: missing or unknown: {', '.join(odd)}; copy or train the model again")
    return config
