"""The class `BahdanauAttention`, a Keras layer for additive attention over image regions."""

import keras
from keras import ops

from utils.runtime.backend import Tensor

# Energy of a masked value. The weight of this value becomes 0, because exp(-1e9) is 0 in float32.
_MASKED = -1e9


@keras.saving.register_keras_serializable(package="captioning")
class BahdanauAttention(keras.layers.Layer):
    """A Keras layer that computes additive attention.

    For each region a (a "value") and each query h, the energy is
    e = sharpness * v · tanh(W_a a + W_h h + b). The attention weights are the
    softmax of the energies over the regions. The context is the weighted sum of
    the regions. v, W_a, W_h and b are learnt.

    W_a a does not depend on the query. The method `keys` computes W_a a once per
    photo, for all words of all captions.

    Papers: Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning
    to align and translate", 2015, appendix A.1.2; for image regions: Xu et al.,
    "Show, attend and tell", 2015, section 3.1.2. The order of the arguments is
    that of `keras.layers.AdditiveAttention`. That layer has no W_a, W_h and b.

    Args:
        units: length of the vectors v and b.
        sharpness: factor of the energies. With a factor above 1, attention becomes narrow earlier in training.
        kwargs: arguments of every Keras layer: `name`, `dtype`, `trainable`.

    Example:
        >>> import numpy as np
        >>> from utils.model.attention import BahdanauAttention
        >>> query = np.ones((2, 1, 512), "float32")  # (batch, queries, width): one LSTM state per photo
        >>> regions = np.ones((2, 49, 768), "float32")  # (batch, values, channels): 7 × 7 regions
        >>> layer = BahdanauAttention(256)
        >>> context = layer(query, regions)
        >>> tuple(context.shape)
        (2, 1, 768)

        Several words can share the keys. The attention weights are returned on request:

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
        """Create the weights.

        Args:
            query_shape: shape of the queries: (batch, queries, query width).
            values_shape: shape of the values: (batch, values, channels).

        Raises:
            ValueError: a shape does not have three axes.
        """
        for name, shape in (("query", query_shape), ("values", values_shape)):
            if len(shape) != 3:
                raise ValueError(f"BahdanauAttention: {name} has shape {shape}, give (batch, places, width)")
        self.query_projection.build(query_shape)
        if not self.key_projection.built:  # a call of `keys` has built it already
            self.key_projection.build(values_shape)
        self.energy = self.add_weight(name="energy", shape=(self.units, 1), initializer="glorot_uniform")
        self.built = True

    def keys(self, values: Tensor) -> Tensor:
        """Compute the keys: W_a a for each value a.

        Args:
            values: float (batch, values, channels).

        Returns:
            The keys, float (batch, values, units).
        """
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
        """Compute the context and the attention weights of each query.

        Args:
            query: queries, float (batch, queries, query width).
            values: regions of each photo, float (batch, values, channels).
            keys: result of the method `keys`, float (batch, values, units). If None, it is computed from `values`.
            mask: True for values that may get attention, boolean (batch, values). None allows all values.
            return_attention_scores: whether to return the attention weights too.
            values_mask: the mask that an earlier Keras layer has attached to `values`. Keras passes this argument
                itself. It is used if `mask` is None.

        Returns:
            The context, float (batch, queries, channels). With `return_attention_scores`
            a tuple: the context, and the attention weights, float32 (batch, queries,
            values). The weights of a query sum to 1.
        """
        keys = self.keys(values) if keys is None else keys
        mask = values_mask if mask is None else mask
        hidden = ops.tanh(ops.expand_dims(keys, 1) + ops.expand_dims(self.query_projection(query), 2))
        energies = ops.squeeze(ops.matmul(hidden, ops.cast(self.energy, hidden.dtype)), -1)
        # The softmax uses float32 in mixed precision too, so that the weights sum to 1.
        energies = self.sharpness * ops.cast(energies, "float32")
        if mask is not None:
            energies = ops.where(ops.expand_dims(ops.cast(mask, "bool"), 1), energies, _MASKED)
        weights = ops.softmax(energies, axis=-1)
        context = ops.matmul(ops.cast(weights, values.dtype), values)
        return (context, weights) if return_attention_scores else context

    def compute_output_shape(self, query_shape: tuple, values_shape: tuple) -> tuple:
        """Return the shape of the context, (batch, queries, channels), from the shapes that `build` takes."""
        return (*query_shape[:-1], values_shape[-1])

    def compute_output_spec(
        self,
        query: keras.KerasTensor,
        values: keras.KerasTensor,
        keys: keras.KerasTensor | None = None,
        mask: keras.KerasTensor | None = None,
        return_attention_scores: bool = False,
        values_mask: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return the shapes and types of what `call` returns for these arguments. Keras uses them in functional models.

        The attention weights are float32 in mixed precision too, so their type cannot come from `compute_output_shape`.
        """
        context = keras.KerasTensor(self.compute_output_shape(query.shape, values.shape), self.compute_dtype)
        weights = keras.KerasTensor((*query.shape[:-1], values.shape[1]), "float32")
        return (context, weights) if return_attention_scores else context

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> None:
        """Return None, because the context has no mask: every query gets a context."""

    def get_config(self) -> dict:
        """Return the constructor's arguments as a dict. Keras stores them in a `.keras` file."""
        return {**super().get_config(), "units": self.units, "sharpness": self.sharpness}
