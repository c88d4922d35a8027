"""What Keras leaves to its backend, TensorFlow or JAX: compiled functions, streams of batches, names of devices."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from utils.errors import InputError
from utils.runtime import keras_internals

# In type hints: a tensor of Keras's backend, or an array that Keras makes one of.
Tensor = Any


def name():
    """Keras's backend, "tensorflow" or "jax"."""
    return keras.config.backend()


def describe():
    """What the backend is and computes on: its name with its version, and the names of the GPUs that it finds."""
    if name() == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in found]
        return f"TensorFlow {tf.__version__}", gpus
    import jax

    return f"JAX {jax.__version__}", [each.device_kind for each in jax.devices() if each.platform == "gpu"]


def require_tensorflow(what):
    """Raise an InputError where the backend is another one."""
    if name() != "tensorflow":
        raise InputError(f"{what} needs Keras's TensorFlow backend: unset KERAS_BACKEND")


def compiles():
    """Whether `Model.compile` is to compile a model's steps with XLA.

    TensorFlow makes a graph of them anyway, and XLA makes that one slower on
    CPUs; JAX has no other way.
    """
    return name() != "tensorflow"


def separate(variables):
    """Give each variable memory of its own before `Model.fit`.

    JAX passes the variables' memory on from step to step, and refuses where
    two of them share theirs, as they do after one was assigned the other.
    """
    if name() == "jax":
        for variable in variables:
            variable.assign(variable.value.copy())


def write_back(model):
    """Give a model's variables the values that they have by now in the midst of `Model.fit`."""
    if name() == "jax":
        keras_internals.write_back_from_jax(model)


def compiled(function, variables, changing=()):
    """A function of arrays as one that the backend compiles.

    Args:
        function: takes arrays, gives arrays or a structure of them.
        variables: the Keras variables that it reads, whose values may change
            from call to call.
        changing: those that it changes, such as random states.

    Returns:
        A function that gives NumPy arrays.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        run = tf.function(function, autograph=False, reduce_retracing=True)
        return lambda *arrays: keras.tree.map_structure(lambda x: x.numpy(), run(*map(ops.convert_to_tensor, arrays)))
    import jax

    known = [*variables, *changing]

    @jax.jit
    def stateless(values, *arrays):
        with keras.StatelessScope(state_mapping=list(zip(known, values))) as scope:
            return function(*arrays), [scope.get_current_value(variable) for variable in changing]

    def run(*arrays):
        result, values = stateless([variable.value for variable in known], *arrays)
        for variable, value in zip(changing, values):
            variable.assign(value)
        return keras.tree.map_structure(ops.convert_to_numpy, result)

    return run


def on_host(function, arrays, shape, dtype):
    """What a NumPy function gives of tensors, in the midst of a compiled step; no gradient goes through it.

    Args:
        function: takes NumPy arrays, gives one.
        arrays: tensors.
        shape, dtype: of what it gives.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.ensure_shape(tf.numpy_function(function, arrays, dtype, stateful=False), shape)
    import jax

    return jax.pure_callback(
        lambda *values: function(*map(np.asarray, values)).astype(dtype), jax.ShapeDtypeStruct(shape, dtype), *arrays
    )


def stream(generate):
    """Batches for `Model.fit`, made ahead while the model works.

    Args:
        generate: called without arguments, gives an iterator without end over
            structures of arrays, all of the same shapes and types.
    """
    if name() != "tensorflow":
        return _ahead(generate())
    import tensorflow as tf

    spec = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), next(generate()))
    return tf.data.Dataset.from_generator(generate, output_signature=spec).prefetch(2)


def _ahead(iterator, count=2):
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, iterator) for _ in range(count)]
        while True:
            waiting.append(pool.submit(next, iterator))
            yield waiting.pop(0).result()
