"""Files of encoder weights with 8-bit kernels and one scale per output channel, a quarter of the size of float32.

According to Krishnamoorthi, "Quantizing deep convolutional networks for
efficient inference", 2018, section 3, such weights do not lower the accuracy.
"""

import h5py
import keras
import numpy as np

from utils.files import is_file, replacing

# The value of the attribute "format", by which such files are recognised.
_FORMAT = "captioning 8-bit kernels 1"

# The image size, in pixels, of older files, which do not have it as an attribute.
_FIRST_IMAGE_SIZE = 112


def _input_axes(layer, kernel):
    """The axes of a layer's kernel except those of output channels."""
    return tuple(range(kernel.ndim - (2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 1)))


def quantise(weights, axes):
    """Quantise weights to 8 bits. The weights are approximately levels × steps.

    Args:
        weights: a float array.
        axes: the axes that share one step.

    Returns:
        The levels, -127 to 127, as an int8 array of the same shape; and the
        steps, as a float32 array that broadcasts with it. A step is 1/127 of
        the largest absolute weight along `axes`.
    """
    step = np.abs(weights).max(axis=axes, keepdims=True) / 127
    step = np.maximum(step, np.finfo("float32").tiny).astype("float32")
    return np.rint(weights / step).astype("int8"), step


def save_compact(network, path):
    """Write a network's weights to a file: kernels in 8 bits, all other weights in float32.

    Args:
        network: a Keras model.
        path: an .h5 file. An existing one is replaced atomically.

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
    """Whether a file was written by `save_compact`."""
    if not (is_file(path) and h5py.is_hdf5(path)):
        return False
    with h5py.File(path, "r") as file:
        return file.attrs.get("format") == _FORMAT


def learnt_size(path):
    """The image size, in pixels, with which the weights in a file of `save_compact` were trained."""
    with h5py.File(path, "r") as file:
        return int(file.attrs.get("image_size", _FIRST_IMAGE_SIZE))


def load_compact(network, path):
    """Load weights from a file of `save_compact` into a network.

    Args:
        network: a Keras model with the layers of the saved one, or with its first layers only.
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
