"""The configuration of a model folder; readable without TensorFlow, so that errors come at once."""

import json
import os
from pathlib import Path

from utils.errors import InputError, reason, shorten
from utils.files import is_file

# Of config.json; raised when old folders can no longer be read.
FORMAT = 1

ENCODER_KEYS = {"name", "weights", "layer", "image_size", "seed", "mirror", "fingerprint"}
DECODER_KEYS = {"units", "attention_units", "embedding_size", "dropout", "grounded", "value_size"}
CONFIG_KEYS = {"format", "dataset", "encoder", "decoder", "max_words", "consensus", "training"}


# Where the scripts are, and `models/` beside them.
_ROOT = Path(__file__).resolve().parents[2]


def find_model(folder):
    """A model folder as a Path; `models/flickr8k` is the one beside the scripts if the working folder has none."""
    beside = _ROOT / folder
    # os.path raises nothing, whatever the name is.
    return beside if not os.path.lexists(folder) and os.path.isfile(beside / "config.json") else Path(folder)


def read_config(folder):
    """The checked content of a model folder's config.json; the folder as `find_model` finds it.

    Raises:
        InputError: missing, damaged, or of another version.
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
                f"{folder}: an encoder, no model; train.py --encoder_weights {weights} makes one of it"
            ) from None
        raise InputError(
            f"{folder}: no model in this folder (config.json is missing); train one with train.py"
        ) from None
    except OSError as error:
        raise InputError(f"{shorten(path)}: cannot be read ({reason(error)})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())[:100]})") from None
    if version != FORMAT:
        raise InputError(f"{path}: a model of format {version}, but this version reads format {FORMAT}")
    # Folders of before there was a choice, or when there was another.
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
            raise InputError(f"{path}: damaged, missing or unknown: {', '.join(odd)}")
    return config


def check_together(folders):
    """Make sure, before they are loaded, that models can write captions together.

    Raises:
        InputError: one has other words, or sees photos of another size.
    """
    sizes = [read_config(folder)["encoder"]["image_size"] for folder in folders]
    for folder, size in zip(folders[1:], sizes[1:]):
        if _words(folder) != _words(folders[0]):
            raise InputError(f"{folder}: knows other words than {folders[0]}; models of one vocabulary write together")
        if size != sizes[0]:
            raise InputError(
                f"{folder}: sees photos of {size} × {size} pixels, {folders[0]} of {sizes[0]} × {sizes[0]}; "
                "models of one size write together"
            )


def _words(folder):
    try:
        return (find_model(folder) / "vocabulary.txt").read_bytes()
    except OSError:
        raise InputError(f"{folder}: damaged model folder, vocabulary.txt is missing") from None
