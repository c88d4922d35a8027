"""Additive attention over image regions."""

import keras
from keras import ops

from utils.runtime.backend import Tensor

# Energy of a value that may not be looked at; its weight is zero, as exp(-1e9) is.
_MASKED = -1e9


@keras.saving.register_keras_serializable(package="captioning")
class BahdanauAttention(keras.layers.Layer):
    """Additive attention: e = v · tanh(W_a a + W_h h), weights = softmax(e).

    Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to
    align and translate", 2015, appendix A.1.2; over image regions: Xu et al.,
    "Show, attend and tell", 2015, section 3.1.2. The order of the arguments is
    that of `keras.layers.AdditiveAttention`, which has no W_a and no W_h.

    The part that depends on the values alone, W_a a, can be computed once by
    `keys` and shared by many calls: by all words and hypotheses of a photo.

    Args:
        units: width of the hidden layer that compares query and value.
        sharpness: the energies are multiplied by it; above 1 the weights separate sooner in training.
        kwargs: those of every Keras layer: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from utils.model.attention import BahdanauAttention
        >>> query = np.ones((2, 1, 512), "float32")  # (batch, queries, width): one state of an LSTM for each photo
        >>> regions = np.ones((2, 49, 768), "float32")  # (batch, values, channels): 7 × 7 regions
        >>> layer = BahdanauAttention(256)
        >>> context = layer(query, regions)
        >>> tuple(context.shape)
        (2, 1, 768)

        Word after word with the same keys, and the weights to be looked at:

        >>> keys = layer.keys(regions)
        >>> context, weights = layer(query, regions, keys, return_attention_scores=True)
        >>> tuple(weights.shape)
        (2, 1, 49)
    """

    def __init__(self, units: int, sharpness: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units, self.sharpness = units, sharpness
        self.key_projection = keras.layers.Dense(units, use_bias=False, name="key_projection", dtype=self.dtype_policy)
        self.query_projection = keras.layers.Dense(units, name="query_projection", dtype=self.dtype_policy)

    def build(self, query_shape: tuple, values_shape: tuple) -> None:
        """Create the weights for queries and values of these shapes.

        Keys of something other than the values need `values_shape` to be the
        shape of what `keys` takes.

        Raises:
            ValueError: a shape is not (batch, places, width).
        """
        for name, shape in (("query", query_shape), ("values", values_shape)):
            if len(shape) != 3:
                raise ValueError(f"BahdanauAttention: {name} has shape {shape}, give (batch, places, width)")
        self.query_projection.build(query_shape)
        if not self.key_projection.built:  # by a call of `keys`
            self.key_projection.build(values_shape)
        self.energy = self.add_weight(name="energy", shape=(self.units, 1), initializer="glorot_uniform")
        self.built = True

    def keys(self, values: Tensor) -> Tensor:
        """W_a a for values (batch, values, channels): (batch, values, units)."""
        return self.key_projection(values)

    def call(
        self,
        query: Tensor,
        values: Tensor,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        values_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend with one or more queries per photo.

        Args:
            query: (batch, queries, query width).
            values: (batch, values, channels), the regions of a photo.
            keys: (batch, values, units), what `keys` returned; computed from `values` if None.
            mask: boolean (batch, values), true where the query may look; everywhere if None.
            return_attention_scores: whether to return the weights too.
            values_mask: the mask that Keras attaches to `values`, and passes here itself; used if `mask` is None.

        Returns:
            The context (batch, queries, channels). With `return_attention_scores`
            also the float32 weights (batch, queries, values), which sum to 1.
        """
        keys = self.keys(values) if keys is None else keys
        mask = values_mask if mask is None else mask
        hidden = ops.tanh(ops.expand_dims(keys, 1) + ops.expand_dims(self.query_projection(query), 2))
        energies = ops.squeeze(ops.matmul(hidden, ops.cast(self.energy, hidden.dtype)), -1)
        # The softmax stays in float32 under mixed precision, so that a map sums to 1.
        energies = self.sharpness * ops.cast(energies, "float32")
        if mask is not None:
            energies = ops.where(ops.expand_dims(ops.cast(mask, "bool"), 1), energies, _MASKED)
        weights = ops.softmax(energies, axis=-1)
        context = ops.matmul(ops.cast(weights, values.dtype), values)
        return (context, weights) if return_attention_scores else context

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> None:
        """No mask: every query has a context."""

    def get_config(self) -> dict:
        """The arguments of the constructor, as Keras stores them in a `.keras` file."""
        return {**super().get_config(), "units": self.units, "sharpness": self.sharpness}
