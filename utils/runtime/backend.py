"""Do what needs different code for Keras's backends TensorFlow and JAX: compile functions, feed batches, name GPUs."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from utils.errors import InputError
from utils.runtime import keras_internals

# For type hints: a tensor of Keras's backend, or an array that Keras converts to one.
Tensor = Any


def name():
    """Return the name of Keras's backend, "tensorflow" or "jax"."""
    return keras.config.backend()


def describe():
    """Return (backend, gpus): a text such as "TensorFlow 2.19.0", and a list of the GPUs' names."""
    if name() == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in found]
        return f"TensorFlow {tf.__version__}", gpus
    import jax

    return f"JAX {jax.__version__}", [each.device_kind for each in jax.devices() if each.platform == "gpu"]


def require_tensorflow(what):
    """Raise InputError unless the backend is TensorFlow.

    Args:
        what: the name of the flag or feature that needs TensorFlow. It appears in the error.
    """
    if name() != "tensorflow":
        raise InputError(f"{what} needs Keras's TensorFlow backend: unset KERAS_BACKEND")


def compiles():
    """Return the value for the argument `jit_compile` of `Model.compile`: True if XLA should compile training steps.

    It is True on JAX, which needs XLA. It is False on TensorFlow, because XLA would make the steps slower on CPUs.
    """
    return name() != "tensorflow"


def separate(variables):
    """Give each Keras variable its own memory. Call this before `Model.fit`.

    On JAX, two variables share memory after `a.assign(b)`. During `Model.fit`,
    JAX reuses the memory of variables and raises an error if two share it.
    On TensorFlow, nothing is done.
    """
    if name() == "jax":
        for variable in variables:
            variable.assign(variable.value.copy())


def write_back(model):
    """Put the current weights into a model's variables during `Model.fit`, so that a callback can read them.

    On JAX, `Model.fit` keeps the current weights outside the variables until it
    ends. On TensorFlow, they are always in the variables, so nothing is done.

    Args:
        model: a Keras model that is being trained.
    """
    if name() == "jax":
        keras_internals.write_back_from_jax(model)


def compiled(function, variables, changing=()):
    """Compile a function of tensors with the backend's compiler.

    Args:
        function: a function that takes tensors and returns a tensor, or a list or dict of tensors.
        variables: a list of the Keras variables that the function reads.
            Their values may change between calls.
        changing: a list of the Keras variables that the function changes, such as random states.

    Returns:
        A function that takes NumPy arrays and returns the same as `function`, with NumPy arrays instead of tensors.
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
    """Call a NumPy function from inside a compiled training step. No gradient flows through it.

    Args:
        function: a function that takes NumPy arrays and returns a NumPy array.
        arrays: a list of tensors, which are passed to the function as NumPy arrays.
        shape: the shape of the result, as a tuple.
        dtype: the type of the result, such as "float32".

    Returns:
        The result, as a tensor.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.ensure_shape(tf.numpy_function(function, arrays, dtype, stateful=False), shape)
    import jax

    return jax.pure_callback(
        lambda *values: function(*map(np.asarray, values)).astype(dtype), jax.ShapeDtypeStruct(shape, dtype), *arrays
    )


def stream(generate):
    """Prepare batches for `Model.fit` in the background while the model computes.

    Args:
        generate: a function without arguments that returns an endless iterator
            over batches. Each batch is a tuple of arrays, perhaps nested. All
            batches have the same shapes and types.

    Returns:
        An object that `Model.fit` accepts: a `tf.data.Dataset` on TensorFlow, a generator on JAX.
    """
    if name() != "tensorflow":
        return _ahead(generate())
    import tensorflow as tf

    spec = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), next(generate()))
    return tf.data.Dataset.from_generator(generate, output_signature=spec).prefetch(2)


def _ahead(iterator, count=2):
    """Yield the items of an endless iterator, and compute the next `count` items in advance in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, iterator) for _ in range(count)]
        while True:
            waiting.append(pool.submit(next, iterator))
            yield waiting.pop(0).result()
