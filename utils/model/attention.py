"""Additive attention over image regions."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="captioning")
class BahdanauAttention(keras.layers.Layer):
    """Additive attention: e = v · tanh(W_a a + W_h h), weights = softmax(e).

    Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to
    align and translate", 2015, appendix A.1.2; over image regions: Xu et al.,
    "Show, attend and tell", 2015, section 3.1.2.

    The part that depends on the regions alone, W_a a, is computed once per
    photo by `keys` and shared by all captions and hypotheses of that photo.

    Args:
        units: width of the hidden layer that compares query and region.
        sharpness: the energies are multiplied by it, so that weights part sooner in training.
    """

    def __init__(self, units, sharpness=1.0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.sharpness = units, sharpness
        self.key_projection = keras.layers.Dense(units, use_bias=False, name="key_projection", dtype=self.dtype_policy)
        self.query_projection = keras.layers.Dense(units, name="query_projection", dtype=self.dtype_policy)

    def build(self, query_shape, channels):
        """Create the weights for queries (…, query_shape[-1]) and regions of `channels`."""
        self.query_projection.build(query_shape)
        self.key_projection.build((None, None, channels))
        self.energy = self.add_weight(name="energy", shape=(self.units, 1), initializer="glorot_uniform")
        self.built = True

    def keys(self, regions):
        """W_a a for regions (batch, regions, channels): (batch, regions, units)."""
        return self.key_projection(regions)

    def call(self, query, keys, values):
        """Attend with several queries per photo.

        Args:
            query: (batch, queries, query width).
            keys: (batch, regions, units), from `keys`.
            values: (batch, regions, channels).

        Returns:
            The context (batch, queries, channels) and the float32 weights
            (batch, queries, regions), which sum to 1 over the regions.
        """
        hidden = ops.tanh(ops.expand_dims(keys, 1) + ops.expand_dims(self.query_projection(query), 2))
        energies = ops.squeeze(ops.matmul(hidden, ops.cast(self.energy, hidden.dtype)), -1)
        # The softmax stays in float32 under mixed precision, so that a map sums to 1.
        weights = ops.softmax(self.sharpness * ops.cast(energies, "float32"), axis=-1)
        return ops.matmul(ops.cast(weights, values.dtype), values), weights

    def get_config(self):
        return {**super().get_config(), "units": self.units, "sharpness": self.sharpness}
