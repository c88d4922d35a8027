"""Functions that save the weights of a Keras model in half precision, and check that weights are finite."""

import h5py
import keras
import numpy as np


def find_not_finite(network):
    """Find a variable that holds an infinity or NaN.

    Args:
        network: a Keras model.

    Returns:
        The path of the first such variable, a string; None if all weights are finite.
    """
    paths = (v.path for v in network.weights if not np.isfinite(keras.ops.convert_to_numpy(v)).all())
    return next(paths, None)


def save_half(network, path):
    """Write the weights of a network in half precision. `network.load_weights` converts them back to float32.

    Args:
        network: a Keras model.
        path: the file to write, a Path that ends in `.weights.h5`.
    """
    whole = path.with_name(f"whole.{path.name}")
    try:
        network.save_weights(whole)
        with h5py.File(whole, "r") as source, h5py.File(path, "w") as target:

            def copy(name, item):
                if isinstance(item, h5py.Dataset):
                    target.create_dataset(name, data=_halved(item[()]))
                else:
                    target.require_group(name)
                node = target[name]
                for key, value in item.attrs.items():
                    node.attrs[key] = value

            source.visititems(copy)
    finally:
        whole.unlink(missing_ok=True)


def _halved(weights):
    """Convert the values of one variable to half precision, to save space in a file.

    Vectors, which need little space, stay in float32. A variable with a value beyond the range of half precision stays
    in float32 too. Such values occur if the encoder has random weights.

    Args:
        weights: the variable, a float32 array.

    Returns:
        An array of the same shape, float16 or float32.
    """
    if weights.ndim < 2 or np.abs(weights).max(initial=0) > np.finfo("float16").max:
        return weights
    return weights.astype("float16")
