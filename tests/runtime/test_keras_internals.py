"""Check that Keras still has the private names that the program uses."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from utils.runtime import keras_internals

ROOT = Path(__file__).parents[2]


def test_averaged_weights_are_moving_averages_in_the_order_of_the_variables():
    variables = [keras.Variable(np.zeros(2)), keras.Variable(np.ones(3))]
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75)
    optimizer.build(variables)
    gradients = [np.full(2, 1.0, "float32"), np.full(3, 2.0, "float32")]
    optimizer.apply(gradients, variables)  # the averages begin with the values after this step
    before = [np.array(each) for each in keras_internals.averaged_weights(optimizer)]
    optimizer.apply(gradients, variables)
    averaged = keras_internals.averaged_weights(optimizer)
    for old, new, variable in zip(before, averaged, variables, strict=True):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * np.array(variable), rtol=1e-6)


def test_the_index_of_a_variable_is_found_by_key_and_by_variable():
    variables = [keras.Variable(np.zeros(2)), keras.Variable(np.ones(3))]
    optimizer = keras.optimizers.SGD()
    keys = [keras_internals.variable_key(optimizer, each) for each in variables]
    optimizer.build(variables)
    assert keras_internals.indices_of(optimizer, keys[1:]) == {1}
    assert [keras_internals.index_of(optimizer, each.value) for each in variables] == [0, 1]


def test_a_model_forgets_the_strategy_it_was_created_under():
    import tensorflow as tf

    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert isinstance(model.distribute_strategy, tf.distribute.OneDeviceStrategy)
    keras_internals.forget_strategy(model)
    assert model.distribute_strategy is tf.distribute.get_strategy()


def test_jax_can_write_values_back_to_a_model():
    pytest.importorskip("jax")
    from keras.src.backend.jax.trainer import JAXTrainer

    assert callable(JAXTrainer.jax_state_sync)


def test_no_other_file_uses_private_names_of_keras():
    owner = r"(?:model|network|layer|optimizer|decoder|variable|keras(?:\.\w+)*)"
    private = re.compile(rf"keras\.src|\b{owner}\._[a-z]|_var_key")
    files = [*ROOT.glob("*.py"), *(ROOT / "utils").rglob("*.py")]
    found = [file.name for file in files if private.search(file.read_text(encoding="utf-8"))]
    assert found == ["keras_internals.py"]
