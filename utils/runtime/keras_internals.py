"""Collect all uses of private names of Keras in one module.

tests/runtime/test_keras_internals.py fails if Keras removes one of these names.
"""


def averaged_weights(optimizer):
    """Return the moving averages of the trained variables, which an optimizer with `use_ema=True` computes.

    `keras.callbacks.SwapEMAWeights` reads the same private attribute.

    Returns:
        A list of Keras variables, in the order of the trained variables.
    """
    return optimizer._model_variables_moving_average


def variable_key(optimizer, variable):
    """Return the key by which an optimizer identifies a Keras variable. `indices_of` takes such keys."""
    return optimizer._var_key(variable)


def indices_of(optimizer, keys):
    """Return the indices of variables in an optimizer's list of trained variables, as a set of int.

    Args:
        optimizer: a built Keras optimizer.
        keys: the keys by which the optimizer identifies the variables. `variable_key` makes them.
    """
    return {optimizer._trainable_variables_indices[key] for key in keys}


def index_of(optimizer, variable):
    """Return the index of a variable in an optimizer's list of trained variables, an int.

    Args:
        optimizer: a built Keras optimizer.
        variable: the variable that Keras passed to the optimizer's method `update_step`. This is a Keras
            variable or a variable of the backend.
    """
    return optimizer._get_variable_index(variable)


def forget_strategy(model):
    """Remove the `tf.distribute` strategy that Keras stores in a model. The model must be built already.

    With a strategy, `Model.fit` builds the model with one batch before the first step. This fails on several machines.
    """
    model._distribute_strategy = None


def write_back_from_jax(model):
    """Copy the newest weights of a model from Keras's JAX training loop into the model's variables.

    While `Model.fit` runs on JAX, Keras keeps the weights outside the variables, so the variables hold old values.
    """
    model.jax_state_sync()
