import numpy as np

from utils.model.attention import BahdanauAttention


def test_equals_the_formula_computed_by_hand():
    layer = BahdanauAttention(2)
    layer.build((None, None, 1), channels=2)
    layer.key_projection.kernel.assign([[1.0, 0.0], [0.0, 1.0]])
    layer.query_projection.kernel.assign([[0.5, -0.5]])
    layer.query_projection.bias.assign([0.0, 0.25])
    layer.energy.assign([[1.0], [2.0]])
    regions = np.array([[[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]], "float32")
    query = np.array([[[2.0]]], "float32")

    energies = [
        np.tanh(1 + 1) + 2 * np.tanh(0 - 0.75),
        np.tanh(0 + 1) + 2 * np.tanh(1 - 0.75),
        np.tanh(-1 + 1) + 2 * np.tanh(2 - 0.75),
    ]
    expected = np.exp(energies) / np.exp(energies).sum()
    context, weights = layer(query, layer.keys(regions), regions)
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(context[0, 0], expected @ regions[0], rtol=1e-5)


def test_maps_sum_to_one_in_half_precision_too():
    layer = BahdanauAttention(4, dtype="mixed_bfloat16")
    layer.build((None, None, 3), channels=5)
    regions = np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32")
    query = np.random.default_rng(1).normal(size=(2, 3, 3)).astype("float32")
    _, weights = layer(query, layer.keys(regions), regions)
    assert weights.dtype == "float32"
    np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-6)


def test_configuration_round_trip():
    assert BahdanauAttention.from_config(BahdanauAttention(7).get_config()).units == 7
