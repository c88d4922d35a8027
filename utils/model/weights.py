"""Weights of Keras models on disk: half precision, and a check for values that are not finite."""

import h5py
import keras
import numpy as np


def find_not_finite(network):
    """The path of a variable that holds an infinity or NaN; None if all weights are finite.

    Args:
        network: a Keras model.
    """
    paths = (v.path for v in network.weights if not np.isfinite(keras.ops.convert_to_numpy(v)).all())
    return next(paths, None)


def save_half(network, path):
    """Write a network's weights in half precision. `network.load_weights` converts them back to float32.

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
    """Matrices and kernels in half precision; unchanged if a value is too large for it.

    Vectors are small and stay in float32. With random encoder weights the statistics of the regions exceed the range
    of half precision.
    """
    if weights.ndim < 2 or np.abs(weights).max(initial=0) > np.finfo("float16").max:
        return weights
    return weights.astype("float16")
