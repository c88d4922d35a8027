"""The attention LSTM: regions and the words so far → logits of the next word."""

from collections import namedtuple

import keras
from keras import ops

from utils.data.tokenizer import PAD
from utils.model.attention import BahdanauAttention
from utils.runtime import backend
from utils.runtime.backend import Tensor

# What is computed once per photo: attention keys (batch, regions, attention
# units) and values (batch, regions, channels): the normalised regions, or a
# projection of them.
Memory = namedtuple("Memory", "keys values")

# The LSTM's hidden and cell state, (batch, captions, units) each.
State = namedtuple("State", "hidden cell")

# Of grounded decoders: how often the output does without the last word in
# training; what the attention's energies are multiplied by, without which it
# is found late, after ways around it.
_LAST_WORD_DROPOUT, _SHARPNESS = 0.7, 3.0


@keras.saving.register_keras_serializable(package="captioning")
class AttentionDecoder(keras.Model):
    """Writes captions word by word, looking at the regions before each word.

    Xu et al., "Show, attend and tell", 2015, section 3.1 (soft attention, with
    the gate β of section 4.2.1); word embeddings are shared with the output
    layer as in Press and Wolf, "Using the output embedding to improve language
    models", 2017. All tensors carry an axis of captions per photo: the
    references in training, the hypotheses in search.

    Args:
        vocabulary_size: number of words, the special ones included.
        units: width of the LSTM.
        attention_units: width of the attention's hidden layer.
        embedding_size: width of the word embeddings.
        dropout: rate on the embedded words, the regions and the output, while
            training only.
        grounded: words are told from what is looked at. The LSTM's state steers
            attention and gate, but neither begins with the mean region nor
            reaches the output; and the output mostly does without the last word
            while training. So "square" is not ruled out because no square was
            red in training, as a language model would have it. Measured on the
            embedded sample alone: captions of photos, whose words follow more
            from words, may be the worse for it.
        value_size: width that regions are projected to for the LSTM and the
            output, for less work at every word; None leaves them as they are.
        kwargs: those of every Keras model: `name`, `dtype`, `trainable`.

    Example: 4 photos with 2 captions each, of up to 6 words.
        >>> import keras, numpy as np
        >>> from utils.model.decoder import AttentionDecoder
        >>> regions = np.random.normal(size=(4, 49, 768)).astype("float32")  # of an encoder
        >>> captions = np.random.randint(4, 100, (4, 2, 7))  # numbers of words; 0 to 3 are the special ones
        >>> captions[:, :, 0] = 1  # <start>
        >>> words, next_words = captions[:, :, :-1], captions[:, :, 1:]
        >>> decoder = AttentionDecoder(vocabulary_size=100, units=32, attention_units=32)
        >>> logits = decoder((regions, words))
        >>> tuple(logits.shape)
        (4, 2, 6, 100)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)  # 0 is <pad>
        >>> decoder.compile("adam", loss)
        >>> history = decoder.fit((regions, words), next_words, epochs=2, verbose=0)

        Word by word, as search does, from an untrained or trained decoder:

        >>> memory = decoder.remember(regions)
        >>> state = decoder.initial_state(memory, captions=1)
        >>> logits, state, attention = decoder.step(np.full((4, 1), 1), state, memory)
        >>> tuple(attention.shape)
        (4, 1, 49)

    Attributes:
        attention_entropy: weight of the attention's entropy in the loss that
            `call` adds while training; 0 adds none. Training sets it.
    """

    attention_entropy = 0.0

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 512,
        attention_units: int = 512,
        embedding_size: int = 256,
        dropout: float = 0.5,
        grounded: bool = False,
        value_size: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.attention_units = attention_units
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.grounded = grounded
        self.value_size = value_size
        self.supports_jit = backend.compiles()
        policy = self.dtype_policy
        # Where only projections read the regions, they do what its gain and offset would.
        self.region_norm = keras.layers.LayerNormalization(
            center=not value_size, scale=not value_size, name="region_norm", dtype=policy
        )
        self.region_dropout = keras.layers.Dropout(dropout, name="region_dropout", dtype=policy)
        initializer = keras.initializers.RandomNormal(stddev=embedding_size**-0.5)
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, embeddings_initializer=initializer, name="embedding", dtype=policy
        )
        self.word_dropout = keras.layers.Dropout(dropout, name="word_dropout", dtype=policy)
        # Of the last word as a whole: one rate for all its features.
        self.last_word_dropout = keras.layers.Dropout(
            _LAST_WORD_DROPOUT if grounded else 0.0, noise_shape=(None, None, None, 1), name="last_word_dropout",
            dtype=policy,
        )  # fmt: skip
        sharpness = _SHARPNESS if grounded else 1.0
        self.attention = BahdanauAttention(attention_units, sharpness, name="attention", dtype=policy)
        if value_size:
            self.value_projection = keras.layers.Dense(value_size, name="value_projection", dtype=policy)
        if not grounded:
            self.initial = keras.layers.Dense(2 * units, activation="tanh", name="initial", dtype=policy)
        self.cell = keras.layers.LSTMCell(units, name="cell", dtype=policy)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", dtype=policy)
        self.output_projection = keras.layers.Dense(embedding_size, name="output_projection", dtype=policy)

    def build(self, input_shape: tuple) -> None:
        """Create the weights.

        Args:
            input_shape: of what `call` takes, ((batch, regions, channels), (batch, captions, length)), or of the
                regions alone.
        """
        regions_shape = input_shape[0] if isinstance(input_shape[0], (tuple, list)) else input_shape
        channels = regions_shape[-1]
        self.region_mean = self.add_weight(name="region_mean", shape=(channels,), initializer="zeros", trainable=False)
        self.region_scale = self.add_weight(name="region_scale", shape=(channels,), initializer="ones", trainable=False)
        self.region_norm.build(regions_shape)
        self.embedding.build((None,))
        self.attention.build((None, None, self.units), regions_shape)
        if self.value_size:
            self.value_projection.build(regions_shape)
            channels = self.value_size
        self.gate = keras.layers.Dense(channels, activation="sigmoid", name="gate", dtype=self.dtype_policy)
        self.gate.build((None, None, self.units))
        if self.grounded:
            self.start = self.add_weight(name="start", shape=(1, 2 * self.units), initializer="zeros")
        else:
            self.initial.build((None, channels))
        self.cell.build((None, self.embedding_size + channels))
        state = 0 if self.grounded else self.units
        self.output_projection.build((None, None, state + channels + self.embedding_size))
        self.output_bias = self.add_weight(name="output_bias", shape=(self.vocabulary_size,), initializer="zeros")
        self.built = True

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the channels' mean and standard deviation over the training regions, (channels,) each.

        Rectified channels have means far from zero and very different sizes;
        without this a random encoder's regions all look alike.
        """
        self.region_mean.assign(mean)
        # A channel that hardly ever fires would be blown up to noise.
        self.region_scale.assign(1 / ops.maximum(deviation, 0.1 * ops.mean(deviation)))

    def remember(self, regions: Tensor, training: bool = False) -> Memory:
        """What every step needs of the photos, computed once.

        Args:
            regions: (batch, regions, channels), as the encoder gives them.
        """
        regions = (ops.cast(regions, "float32") - self.region_mean) * self.region_scale
        regions = self.region_dropout(self.region_norm(regions), training=training)
        return Memory(self.attention.keys(regions), self.value_projection(regions) if self.value_size else regions)

    def initial_state(self, memory: Memory, captions: int) -> State:
        """The state before the first word for `captions` captions a photo: from its mean region, unless grounded."""
        if self.grounded:
            initial = ops.tanh(ops.cast(self.start, memory.values.dtype))
            initial = ops.repeat(initial, ops.shape(memory.values)[0], axis=0)
        else:
            initial = self.initial(ops.mean(memory.values, axis=1))
        return State(*ops.split(ops.repeat(initial[:, None], captions, axis=1), 2, axis=-1))

    def _embed(self, words, training=False):
        # Small enough for the output layer, the embeddings are scaled to unit
        # size for the LSTM, as in Vaswani et al., 2017, section 3.4.
        return self.word_dropout(self.embedding(words) * self.embedding_size**0.5, training=training)

    def _advance(self, embedded, state, memory):
        """Look and take in one word: returns the output features, the new state and the attention."""
        context, attention = self.attention(state.hidden, memory.values, memory.keys, return_attention_scores=True)
        context = context * self.gate(state.hidden)
        # LSTMCell knows one batch axis only.
        batch, captions = ops.shape(state.hidden)[:2]
        flat = [ops.reshape(x, (-1, x.shape[-1])) for x in (ops.concatenate([embedded, context], -1), *state)]
        _, new = self.cell(flat[0], flat[1:])
        state = State(*(ops.reshape(x, (batch, captions, self.units)) for x in new))
        features = context if self.grounded else ops.concatenate([state.hidden, context], axis=-1)
        return features, state, attention

    def _logits(self, features, embedded, training=False):
        """Scores of the next word, float32, from state (unless grounded), context and the embedded last word."""
        embedded = self.last_word_dropout(embedded, training=training)
        features = self.output_dropout(ops.concatenate([features, embedded], axis=-1), training=training)
        hidden = self.output_projection(features)
        logits = ops.matmul(hidden, ops.transpose(ops.cast(self.embedding.embeddings, hidden.dtype)))
        return ops.cast(logits, "float32") + ops.cast(self.output_bias, "float32")

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State, Tensor]:
        """One word on, for training, search and export alike.

        Args:
            words: the last words, int (batch, captions).
            state: the State after the words before them.
            memory: of `remember`.

        Returns:
            Logits (batch, captions, vocabulary), the new State, and the
            attention (batch, captions, regions) that was paid.
        """
        embedded = self._embed(words)
        features, state, attention = self._advance(embedded, state, memory)
        return self._logits(features, embedded), state, attention

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Logits after every word of given captions (teacher forcing).

        The same as `step` word by word, but words are embedded and logits
        computed for all positions at once.

        Args:
            inputs: regions (batch, regions, channels) and words, int
                (batch, captions, length) that begin with <start>.

        Returns:
            Float32 logits (batch, captions, length, vocabulary). In training
            the mean entropy of the attention over the words, in nats, times
            `attention_entropy` is added to the `losses`.
        """
        regions, words = inputs
        memory = self.remember(regions, training=training)
        state = self.initial_state(memory, words.shape[1])
        embedded = self._embed(words, training=training)
        features, maps = [], []
        for position in range(words.shape[2]):
            output, state, attention = self._advance(embedded[:, :, position], state, memory)
            features.append(output)
            maps.append(attention)
        if training and self.attention_entropy:
            self.add_loss(self.attention_entropy * _mean_entropy(ops.stack(maps, axis=2), words != PAD))
        return self._logits(ops.stack(features, axis=2), embedded, training=training)

    def get_config(self) -> dict:
        """The arguments of the constructor, as Keras stores them in a `.keras` file."""
        names = ("vocabulary_size", "units", "attention_units", "embedding_size", "dropout", "grounded", "value_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _mean_entropy(weights, real):
    """Mean entropy of attention (…, regions) over the words that are real, boolean (…), in nats, a scalar.

    As what is made small, it lets attention be decided where the words leave that open: Grandvalet and Bengio,
    "Semi-supervised learning by entropy minimization", 2004.
    """
    real = ops.cast(real, "float32")
    entropy = -ops.sum(weights * ops.log(weights + 1e-9), axis=-1)
    return ops.sum(entropy * real) / ops.maximum(ops.sum(real), 1.0)
