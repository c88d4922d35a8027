import keras
import numpy as np
import pytest

from utils.model.attention import BahdanauAttention


@pytest.fixture
def query():
    return np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32")


def test_equals_the_formula_computed_by_hand():
    layer = BahdanauAttention(2)
    layer.build((None, None, 1), (None, None, 1))
    layer.key_projection.kernel.assign([[1.0, 0.0]])
    layer.query_projection.kernel.assign([[0.5, -0.5]])
    layer.query_projection.bias.assign([0.0, 0.25])
    layer.energy.assign([[1.0], [2.0]])
    values = np.array([[[1.0], [0.0], [-1.0]]], "float32")
    query = np.array([[[2.0]]], "float32")

    energies = [
        np.tanh(1 + 1) + 2 * np.tanh(0 - 0.75),
        np.tanh(1 + 0) + 2 * np.tanh(0 - 0.75),
        np.tanh(1 - 1) + 2 * np.tanh(0 - 0.75),
    ]
    expected = np.exp(energies) / np.exp(energies).sum()
    context, weights = layer(query, values, return_attention_scores=True)
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(context[0, 0], expected @ values[0], rtol=1e-5)


def test_equals_additive_attention_of_keras_with_identity_projections(query):
    """The layer of Keras has no W_a and W_h, which is the same as identity matrices."""
    values = np.random.default_rng(2).normal(size=(2, 7, 4)).astype("float32")
    mask = np.arange(14).reshape(2, 7) % 3 > 0
    ours, theirs = BahdanauAttention(4), keras.layers.AdditiveAttention()
    ours.build(query.shape, values.shape)
    for projection in (ours.key_projection, ours.query_projection):
        projection.kernel.assign(np.eye(4))
    theirs.build([query.shape, values.shape])
    theirs.scale.assign(ours.energy[:, 0])
    expected = theirs([query, values], mask=[None, mask], return_attention_scores=True)
    for found, wanted in zip(ours(query, values, mask=mask, return_attention_scores=True), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_given_keys_and_computed_keys_give_equal_results(query, values):
    layer = BahdanauAttention(6)
    keys = layer.keys(values)  # of a layer that nothing has built yet
    np.testing.assert_array_equal(layer(query, values, keys), layer(query, values))


def test_masked_values_get_no_weight_and_do_not_change_the_context(query, values):
    layer = BahdanauAttention(6)
    mask = np.ones((2, 7), bool)
    mask[:, 4:] = False
    context, weights = layer(query, values, mask=mask, return_attention_scores=True)
    assert np.all(weights[:, :, 4:] == 0)
    np.testing.assert_allclose(context, layer(query, values[:, :4]), atol=1e-6)


def test_the_mask_that_keras_attaches_to_the_values_is_used(query):
    words = np.array([[5, 6, 0], [7, 0, 0]])
    embedding = keras.layers.Embedding(10, 5, mask_zero=True)
    _, weights = BahdanauAttention(6)(query, embedding(words), return_attention_scores=True)
    assert np.array_equal(np.array(weights[:, 0]) > 0, words > 0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_functional_model_with_the_layer_trains_saves_and_loads(tmp_path, query, values, dtype):
    inputs = [keras.Input((None, 4)), keras.Input((7, 5)), keras.Input((7,), dtype="bool")]
    layer = BahdanauAttention(6, sharpness=2.0, dtype=dtype)
    model = keras.Model(inputs, layer(inputs[0], inputs[1], mask=inputs[2], return_attention_scores=True))
    batch = [query, values, np.ones((2, 7), bool)]
    before = layer.get_weights()
    model.compile("sgd", ["mse", None])
    model.fit(batch, [np.ones((2, 3, 5)), np.ones((2, 3, 7))], verbose=0)
    assert all(np.any(old != new) for old, new in zip(before, layer.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for here, there in zip(model(batch), loaded(batch), strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_functional_model_knows_the_shapes_and_types_of_its_outputs(query, values, dtype):
    inputs = [keras.Input((None, 4)), keras.Input((None, 5))]
    model = keras.Model(inputs, BahdanauAttention(6, dtype=dtype)(*inputs, return_attention_scores=True))
    assert model.output_shape == [(None, None, 5), (None, None, None)]
    for given, result in zip(model.outputs, model([query, values]), strict=True):
        assert given.dtype == keras.backend.standardize_dtype(result.dtype)
    lines = []
    model.summary(print_fn=lines.append)
    assert "(None, None, 5)" in lines[0]
    layer = BahdanauAttention(6)
    assert layer.compute_output_shape(query.shape, values.shape) == layer(query, values).shape


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = BahdanauAttention(6)

    def call(self, inputs):
        return self.attention(*inputs)


def test_a_subclassed_model_with_the_layer_saves_and_loads(tmp_path, query, values):
    model = Subclassed()
    expected = model((query, values))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")((query, values)), expected)


def test_weights_sum_to_one_in_half_precision_too(query, values):
    context, weights = BahdanauAttention(4, dtype="mixed_bfloat16")(query, values, return_attention_scores=True)
    assert (context.dtype, weights.dtype) == ("bfloat16", "float32")
    np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-6)


def test_a_query_with_two_axes_is_a_one_line_error(query, values):
    with pytest.raises(ValueError, match=r"query has shape \(2, 4\), give \(batch, places, width\)"):
        BahdanauAttention(4)(query[:, 0], values)
