"""Weights of an encoder in a quarter of the bytes: kernels with 8 bits, a scale for every output channel.

Krishnamoorthi, "Quantizing deep convolutional networks for efficient
inference", 2018, section 3: per-channel weights of 8 bits cost no accuracy.
"""

import h5py
import keras
import numpy as np

from utils.files import is_file, replacing

# An attribute of the file, by which it is known.
_FORMAT = "captioning 8-bit kernels 1"

# Of files from before their size was noted.
_FIRST_IMAGE_SIZE = 112


def _input_axes(layer, kernel):
    """The axes of a kernel that are not its output channels."""
    return tuple(range(kernel.ndim - (2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 1)))


def quantise(weights, axes):
    """Weights in steps of 1/127 of the largest along `axes`: levels, int8, and the steps, float32, to be multiplied."""
    step = np.abs(weights).max(axis=axes, keepdims=True) / 127
    step = np.maximum(step, np.finfo("float32").tiny).astype("float32")
    return np.rint(weights / step).astype("int8"), step


def save_compact(network, path):
    """Write a network's weights; kernels lose what 8 bits cannot hold, all others nothing.

    Args:
        network: a Keras model.
        path: an .h5 file, replaced by a rename.
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
    """Whether a file was written by `save_compact`."""
    if not (is_file(path) and h5py.is_hdf5(path)):
        return False
    with h5py.File(path, "r") as file:
        return file.attrs.get("format") == _FORMAT


def learnt_size(path):
    """Pixels a side of the photos that a network had whose weights `save_compact` wrote."""
    with h5py.File(path, "r") as file:
        return int(file.attrs.get("image_size", _FIRST_IMAGE_SIZE))


def load_compact(network, path):
    """Give a network the weights that `save_compact` wrote of it, or of one that it is the beginning of.

    Raises:
        ValueError: a layer is missing in the file or has another shape there.
    """
    with h5py.File(path, "r") as file:
        for layer in network.layers:
            weights = []
            for number, variable in enumerate(layer.weights):
                stored = file.get(f"{layer.name}/{number}")
                if stored is None or stored.shape != tuple(variable.shape):
                    raise ValueError(f"layer {layer.name} is not in it, or has another shape")
                weights.append(stored[...] * stored.attrs["scale"] if "scale" in stored.attrs else stored[...])
            if weights:
                layer.set_weights(weights)
