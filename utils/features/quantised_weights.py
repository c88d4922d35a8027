"""Write and read files of encoder weights with 8 bits per kernel value. They are a quarter as large as float32 files.

Each output channel of a kernel has its own scale. According to Krishnamoorthi,
"Quantizing deep convolutional networks for efficient inference", 2018, section 3,
such weights hardly lower the accuracy.
"""

import h5py
import keras
import numpy as np

from utils.files import is_file, replacing

# Such files are recognised by this value of the attribute "format".
_FORMAT = "captioning 8-bit kernels 1"

# The image size, in pixels, of files of earlier releases, which do not have the attribute "image_size".
_FIRST_IMAGE_SIZE = 112


def _input_axes(layer, kernel):
    """Return the axes of a Keras layer's kernel that are not output channels, as a tuple of int.

    `kernel` is the kernel as a NumPy array.
    """
    return tuple(range(kernel.ndim - (2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 1)))


def quantise(weights, axes):
    """Round weights to 8-bit integers, the levels. Each weight is about its level times a float factor, its step.

    Args:
        weights: a float array.
        axes: an axis, or a tuple of axes. All weights along these axes share one step.

    Returns:
        levels: an int8 array with the shape of `weights`, -127 to 127.
        steps: a float32 array whose length in each of `axes` is 1. A step is the largest absolute weight
            along these axes, divided by 127.
    """
    step = np.abs(weights).max(axis=axes, keepdims=True) / 127
    step = np.maximum(step, np.finfo("float32").tiny).astype("float32")
    return np.rint(weights / step).astype("int8"), step


def save_compact(network, path):
    """Write a network's weights to a file. Kernels are written in 8 bits, all other weights in float32.

    Args:
        network: a Keras model.
        path: the .h5 file. An existing file is replaced atomically.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = _FORMAT
        file.attrs["image_size"] = network.input_shape[1]
        for layer in network.layers:
            for number, variable in enumerate(layer.get_weights()):
                name = f"{layer.name}/{number}"
                if variable.ndim < 2:
                    file.create_dataset(name, data=variable.astype("float32"))
                    continue
                levels, scale = quantise(variable, _input_axes(layer, variable))
                file.create_dataset(name, data=levels, compression="gzip").attrs["scale"] = scale


def is_compact(path):
    """Return True if a file exists and has 8-bit weights, written by `save_compact`. `path` is a str or Path."""
    if not (is_file(path) and h5py.is_hdf5(path)):
        return False
    with h5py.File(path, "r") as file:
        return file.attrs.get("format") == _FORMAT


def learnt_size(path):
    """Return the image size in pixels, an int, for which the weights in a file of `save_compact` were trained."""
    with h5py.File(path, "r") as file:
        return int(file.attrs.get("image_size", _FIRST_IMAGE_SIZE))


def load_compact(network, path):
    """Load the weights of a network from a file with 8-bit weights, which `save_compact` has written.

    Args:
        network: a Keras model with the same layers as the saved network, or with only its first layers.
        path: the file.

    Raises:
        ValueError: a layer is missing in the file, or has another shape.
    """
    with h5py.File(path, "r") as file:
        for layer in network.layers:
            weights = []
            for number, variable in enumerate(layer.weights):
                stored = file.get(f"{layer.name}/{number}")
                if stored is None or stored.shape != tuple(variable.shape):
                    raise ValueError(f"layer {layer.name} is missing or has another shape")
                weights.append(stored[...] * stored.attrs["scale"] if "scale" in stored.attrs else stored[...])
            if weights:
                layer.set_weights(weights)
