"""All uses of Keras's private names. `tests/runtime/test_keras_internals.py` fails if Keras removes one."""


def averaged_weights(optimizer):
    """The moving averages of the trained variables, in the same order, from an optimizer with `use_ema`.

    `keras.callbacks.SwapEMAWeights` reads the same private attribute.

    Returns:
        A list of Keras variables.
    """
    return optimizer._model_variables_moving_average


def variable_key(optimizer, variable):
    """The key by which an optimizer identifies a Keras variable."""
    return optimizer._var_key(variable)


def indices_of(optimizer, keys):
    """The set of indices of variables in a built optimizer, given their keys."""
    return {optimizer._trainable_variables_indices[key] for key in keys}


def index_of(optimizer, variable):
    """The index of a variable in a built optimizer.

    Args:
        optimizer: the optimizer.
        variable: an argument of the optimizer's `update_step`: a Keras variable or one of the backend.
    """
    return optimizer._get_variable_index(variable)


def forget_strategy(model):
    """Make `Model.fit` accept a distributed dataset without preparing it.

    Otherwise `fit` first traces the model with a batch, which fails with several workers.
    """
    model._distribute_strategy = None


def write_back_from_jax(model):
    """Update a model's variables to their current values during `Model.fit` on JAX."""
    model.jax_state_sync()
