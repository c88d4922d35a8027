import keras
import numpy as np

from utils.training.optimizers import make_optimizer
from utils.training.recipes import Recipe


def test_the_encoder_moves_at_its_own_pace():
    """`Model.fit` passes the backend's variables to the optimizer. Adam's first step is the learning rate."""
    encoder, decoder = (keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros") for _ in range(2))
    model = keras.Sequential([keras.Input((1,)), encoder])
    model.build()
    both = keras.Model(model.inputs, model.outputs[0] + decoder(model.inputs[0]))
    recipe = Recipe(weight_decay=0.0, warmup_steps=0)
    both.compile(make_optimizer(recipe, 0.1, 100, encoder.trainable_variables, 0.25), "mse")
    both.train_on_batch(np.ones((4, 1)), np.ones((4, 1)))
    slow, fast = (float(layer.kernel.numpy()[0, 0]) for layer in (encoder, decoder))
    assert slow > 0
    np.testing.assert_allclose(slow, 0.25 * fast, rtol=1e-3)
