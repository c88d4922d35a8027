"""The names of Keras in use that are not public; `tests/runtime/test_keras_internals.py` fails when one goes."""


def averaged_weights(optimizer):
    """The moving averages that an optimizer with `use_ema` keeps of its variables, in their order, as variables.

    keras.callbacks.SwapEMAWeights reads them so too.
    """
    return optimizer._model_variables_moving_average


def variable_key(optimizer, variable):
    """What an optimizer calls a Keras variable by."""
    return optimizer._var_key(variable)


def indices_of(optimizer, keys):
    """The indices, among a built optimizer's variables, of those with these keys."""
    return {optimizer._trainable_variables_indices[key] for key in keys}


def index_of(optimizer, variable):
    """The index of a variable that `update_step` was given, which may be the backend's own instead of Keras's."""
    return optimizer._get_variable_index(variable)


def forget_strategy(model):
    """Let `Model.fit` take a distributed dataset as it comes.

    Otherwise it would first trace the model with a batch of its own, in a way
    that fails with several workers.
    """
    model._distribute_strategy = None


def write_back_from_jax(model):
    """Give a model's variables the values that they have by now in the midst of `Model.fit` on JAX."""
    model.jax_state_sync()
