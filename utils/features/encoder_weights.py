"""Find, download, check and load the weights of encoders."""

import hashlib
import json
import os
import socket
from pathlib import Path

import keras

from utils.errors import InputError, reason, shorten
from utils.features import quantised_weights
from utils.features.architectures import ARCHITECTURES
from utils.files import exists, is_file

# Model folders that come with the repository.
_MODELS = Path(__file__).parents[2] / "models"

# Seconds without an answer after which a download fails.
_DOWNLOAD_TIMEOUT = 20


def _imagenet_path(name):
    """Return the Path where Keras keeps the ImageNet weights of an encoder, such as "vgg16"."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / ARCHITECTURES[name].weights_file


def imagenet_is_here(name):
    """Return True if an encoder's ImageNet weights are on this machine, in a file with the right MD5.

    Args:
        name: the name of the encoder, such as "vgg16".
    """
    path = _imagenet_path(name)
    if not is_file(path):
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == ARCHITECTURES[name].weights_md5


def _imagenet_file(name):
    """Return the Path of an encoder's ImageNet weights. The file is downloaded if it is missing or incomplete.

    An existing file is replaced only by a file with the right hash. `name` is the encoder's name, such as "vgg16".

    Raises:
        InputError: the file cannot be downloaded.
    """
    architecture, path = ARCHITECTURES[name], _imagenet_path(name)
    folder = path.parent
    if imagenet_is_here(name):
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        whole = keras.utils.get_file(
            path.name,
            architecture.weights_url,
            cache_dir=folder,
            cache_subdir="downloads",
            file_hash=architecture.weights_md5,
        )
        os.replace(whole, path)
    except Exception as error:  # Keras raises bare Exception for URL failures
        state = "are not the published file" if exists(path) else "are not on this machine"
        raise InputError(
            f"the ImageNet weights of {name} {state} and cannot be fetched ({reason(error)}): "
            f"{_offline_way(name)}download {architecture.weights_url} into {folder}, or give a file by "
            "--encoder_weights PATH"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return path


def _offline_way(name):
    """Advise a user who cannot download weights to use those of a model folder in this repository.

    Args:
        name: the name of the encoder that the user chose. If no model folder has its weights, those of
            VGG16 are advised.

    Returns:
        The beginning of a sentence: "use --encoder_weights PATH, …, or "; "" if no model folder has such weights.
    """
    for candidate in dict.fromkeys((name, "vgg16")):
        for config in sorted(_MODELS.glob("*/config.json")):
            file = config.with_name("encoder.weights.h5")
            try:
                found = json.loads(config.read_text(encoding="utf-8"))["encoder"]["name"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if found == candidate and quantised_weights.is_compact(file):
                file = os.path.relpath(file) if file.is_relative_to(Path.cwd()) else file
                flags = (
                    f"--encoder_weights {file}" if candidate == name else f"--encoder {found} --encoder_weights {file}"
                )
                return f"use {flags}, which was fine-tuned for captions and needs no download, or "
    return ""


def _scenes_file(name):
    """Return the Path of an encoder's weights that were trained on generated scenes. `name` is the encoder's name.

    Raises:
        InputError: the encoder has no such weights.
    """
    scenes = ARCHITECTURES[name].scenes
    if scenes is None:
        available = ", ".join(each for each, architecture in ARCHITECTURES.items() if architecture.scenes)
        raise InputError(
            f"--encoder_weights scenes is available for {available} only, not for {name}: choose other weights, or "
            "make some with pretrain.py"
        )
    return Path(__file__).parents[2] / scenes


# The values of --encoder_weights besides paths. For each value, a function that takes an encoder's name and returns
# the path of the weights.
_FILE_OF = {"imagenet": _imagenet_file, "scenes": _scenes_file, "random": None}


def find_file(name, weights):
    """Return the path of an encoder's file of weights; None for random weights. ImageNet weights may be downloaded.

    Args:
        name: the name of the encoder, such as "vgg16".
        weights: "imagenet", "scenes" (trained on generated scenes), "random", or the path of a file.

    Raises:
        InputError: the encoder has no such weights, or the file cannot be downloaded.
    """
    find = _FILE_OF.get(weights, lambda name: weights)
    return find and find(name)


def check_names(name, weights):
    """Check that an encoder and its weights exist. No file is read or downloaded.

    Args:
        name: the name of the encoder, such as "vgg16".
        weights: "imagenet", "scenes" (trained on generated scenes), "random", or the path of a file. With None, only
            the name is checked.

    Raises:
        InputError: the name is unknown, the encoder has no weights "scenes", or the file does not exist.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown encoder {name}: choose one of {', '.join(ARCHITECTURES)}")
    if weights == "scenes":
        _scenes_file(name)
    elif weights is not None and weights not in _FILE_OF:
        _check_file(Path(weights))


def _check_file(path):
    """Raise InputError if a file of weights does not exist. `path` is a Path."""
    if not is_file(path):
        raise InputError(
            f"{shorten(path)}: no such file; --encoder_weights accepts {', '.join(_FILE_OF)} or an .h5 file of weights"
        )


def learnt_size(name, weights):
    """Return the image size, in pixels, with which an encoder's weights were trained.

    Args:
        name: the name of the encoder, such as "vgg16".
        weights: "imagenet", "scenes" (trained on generated scenes), "random", or the path of a file; None if the
            weights are unknown.

    Returns:
        An int; None if the size is unknown. Only files with 8-bit weights, which this program writes, contain the size.
    """
    file = _scenes_file(name) if weights == "scenes" and name in ARCHITECTURES else weights
    return quantised_weights.learnt_size(file) if quantised_weights.is_compact(file) else None


def randomise(network, seed):
    """Set a network's kernels to random values of variance 2 / (number of inputs of an output value).

    See He et al., "Delving deep into rectifiers", 2015.

    Args:
        network: a Keras model, which is changed.
        seed: the random seed, an int.
    """
    for number, layer in enumerate(network.layers):
        for variable in layer.trainable_weights:
            if variable.ndim > 1:
                initializer = keras.initializers.HeNormal(seed=seed * 1000 + number)
                variable.assign(initializer(variable.shape))


def load_file(network, path):
    """Load the weights of an encoder from a file.

    Args:
        network: a Keras model, whose weights are set.
        path: a file with 8-bit weights, which `save_compact` has written, or a file of weights that Keras has written.

    Raises:
        InputError: the file does not exist, or its weights are not those of this network.
    """
    path = Path(path)
    _check_file(path)
    try:
        if quantised_weights.is_compact(path):
            quantised_weights.load_compact(network, path)
        else:
            network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many types for a wrong file
        raise InputError(f"{path}: not weights of this encoder without its top layers ({reason(error)})") from None
