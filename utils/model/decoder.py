"""The decoder: an LSTM with attention. It predicts the next word from the regions and the previous words."""

from collections import namedtuple

import keras
from keras import ops

from utils.data.tokenizer import PAD
from utils.model.attention import BahdanauAttention
from utils.runtime import backend
from utils.runtime.backend import Tensor

# The tensors that are computed once per photo and used for every word: attention
# keys (batch, regions, attention units) and values (batch, regions, channels).
# The values are the normalised regions or a projection of them.
Memory = namedtuple("Memory", "keys values")

# The hidden state and the cell state of the LSTM, each (batch, captions, units).
State = namedtuple("State", "hidden cell")

# Settings of grounded decoders: dropout rate of the previous word before the
# output layer, and factor of the attention energies. Without this factor,
# attention becomes narrow late in training. By then the decoder has learned to
# write captions without attention.
_LAST_WORD_DROPOUT, _SHARPNESS = 0.7, 3.0


@keras.saving.register_keras_serializable(package="captioning")
class AttentionDecoder(keras.Model):
    """Writes captions word by word with an LSTM, and attends to the regions before each word.

    The decoder is that of Xu et al., "Show, attend and tell", 2015, section 3.1:
    soft attention, with the gate β of section 4.2.1. The output layer uses the
    word embeddings as its weights, as in Press and Wolf, "Using the output
    embedding to improve language models", 2017.

    A photo has several captions at a time: the human captions in training, the
    hypotheses in search. Most tensors therefore have an axis `captions` after the
    batch axis.

    Args:
        vocabulary_size: number of words, the special words included.
        units: width of the LSTM.
        attention_units: width of the hidden layer of the attention.
        embedding_size: width of the word embeddings.
        dropout: dropout rate of word embeddings, regions and output in training.
        grounded: True if each word must depend mainly on the attended region. The
            LSTM then controls attention and gate only: the output layer does not
            read the LSTM's state, and the initial state does not depend on the
            photo. In training, the previous word is mostly dropped before the
            output layer. Such a decoder can write "red square" even if no
            training caption contains "red square". The setting was tested only on
            generated pictures of coloured shapes; captions of photos may get worse.
        value_size: number of channels to which the regions are projected for the
            LSTM and the output layer. A small number makes the computation of each
            word faster. None omits the projection.
        kwargs: arguments of every Keras model: `name`, `dtype`, `trainable`.

    Example:
        Training on 4 photos with 2 captions of up to 6 words each:

        >>> import keras, numpy as np
        >>> from utils.model.decoder import AttentionDecoder
        >>> regions = np.random.normal(size=(4, 49, 768)).astype("float32")  # an encoder's output
        >>> captions = np.random.randint(4, 100, (4, 2, 7))  # word numbers; 0 to 3 are the special words
        >>> captions[:, :, 0] = 1  # <start>
        >>> words, next_words = captions[:, :, :-1], captions[:, :, 1:]
        >>> decoder = AttentionDecoder(vocabulary_size=100, units=32, attention_units=32)
        >>> logits = decoder((regions, words))
        >>> tuple(logits.shape)
        (4, 2, 6, 100)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)  # 0 is <pad>
        >>> decoder.compile("adam", loss)
        >>> history = decoder.fit((regions, words), next_words, epochs=2, verbose=0)

        Search calls the decoder one word at a time:

        >>> memory = decoder.remember(regions)
        >>> state = decoder.initial_state(memory, captions=1)
        >>> logits, state, attention = decoder.step(np.full((4, 1), 1), state, memory)
        >>> tuple(attention.shape)
        (4, 1, 49)

    Attributes:
        attention_entropy: factor of the mean entropy of the attention weights. The
            product is added to the training loss. With 0 nothing is added. The
            training code sets the attribute.
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
        # The Dense layers that follow make LayerNorm's gain and offset redundant.
        self.region_norm = keras.layers.LayerNormalization(
            center=not value_size, scale=not value_size, name="region_norm", dtype=policy
        )
        self.region_dropout = keras.layers.Dropout(dropout, name="region_dropout", dtype=policy)
        initializer = keras.initializers.RandomNormal(stddev=embedding_size**-0.5)
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, embeddings_initializer=initializer, name="embedding", dtype=policy
        )
        self.word_dropout = keras.layers.Dropout(dropout, name="word_dropout", dtype=policy)
        # `noise_shape` drops the previous word as a whole, not single features of it.
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
            input_shape: the shape of the regions, (batch, regions, channels). Keras passes a pair: this shape, and that
                of the word numbers, (batch, captions, length).
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
        """Set the mean and the deviation with which the decoder standardises the regions.

        The channels of an encoder have different means and deviations. Without
        standardisation, all regions of an encoder with random weights are similar.

        Args:
            mean: mean of each channel over the training regions, float (channels,).
            deviation: standard deviation of each channel, float (channels,).
        """
        self.region_mean.assign(mean)
        # The lower bound avoids divisions by tiny deviations, which would amplify noise.
        self.region_scale.assign(1 / ops.maximum(deviation, 0.1 * ops.mean(deviation)))

    def remember(self, regions: Tensor, training: bool = False) -> Memory:
        """Compute what depends only on the photo: the attention's keys and values, which every word uses.

        Args:
            regions: output of the encoder, float (batch, regions, channels).
            training: True to apply dropout.

        Returns:
            A Memory: keys, float (batch, regions, attention units), and values, float (batch, regions, channels).
        """
        regions = (ops.cast(regions, "float32") - self.region_mean) * self.region_scale
        regions = self.region_dropout(self.region_norm(regions), training=training)
        return Memory(self.attention.keys(regions), self.value_projection(regions) if self.value_size else regions)

    def initial_state(self, memory: Memory, captions: int) -> State:
        """Compute the state of the LSTM before the first word.

        The state depends on the mean of the photo's regions. A grounded decoder, whose words must come from the
        attended regions alone, has the same state for all photos instead.

        Args:
            memory: a Memory, the attention's keys and values, which the method `remember` computes.
            captions: number of captions per photo.

        Returns:
            A State: the LSTM's hidden state and cell state, float (batch, captions, units), equal for all captions of a
            photo.
        """
        if self.grounded:
            initial = ops.tanh(ops.cast(self.start, memory.values.dtype))
            initial = ops.repeat(initial, ops.shape(memory.values)[0], axis=0)
        else:
            initial = self.initial(ops.mean(memory.values, axis=1))
        return State(*ops.split(ops.repeat(initial[:, None], captions, axis=1), 2, axis=-1))

    def _embed(self, words, training=False):
        # The output layer uses the same embeddings and needs small values. The LSTM
        # needs values of about size 1: Vaswani et al., 2017, section 3.4.
        return self.word_dropout(self.embedding(words) * self.embedding_size**0.5, training=training)

    def _advance(self, embedded, state, memory):
        """Attend to the regions and advance the LSTM by one word.

        Args:
            embedded: embedding of the previous word, float (batch, captions, embedding size).
            state: the State (LSTM state) before this word.
            memory: a Memory, the attention's keys and values, which the method `remember` computes.

        Returns:
            The input of the output layer, float (batch, captions, features); the new State; the attention weights,
            float32 (batch, captions, regions).
        """
        context, attention = self.attention(state.hidden, memory.values, memory.keys, return_attention_scores=True)
        context = context * self.gate(state.hidden)
        # LSTMCell accepts one batch axis only, so the axes of photos and captions become one.
        batch, captions = ops.shape(state.hidden)[:2]
        flat = [ops.reshape(x, (-1, x.shape[-1])) for x in (ops.concatenate([embedded, context], -1), *state)]
        _, new = self.cell(flat[0], flat[1:])
        state = State(*(ops.reshape(x, (batch, captions, self.units)) for x in new))
        features = context if self.grounded else ops.concatenate([state.hidden, context], axis=-1)
        return features, state, attention

    def _logits(self, features, embedded, training=False):
        """Compute the logits of the next word.

        Args:
            features: the LSTM's hidden state and the context (weighted sum of the regions), concatenated; for a
                grounded decoder, the context alone; float (batch, captions, …, features).
            embedded: embedding of the previous word, float (batch, captions, …, embedding size).
            training: True to apply dropout.

        Returns:
            The logits, float32 (batch, captions, …, vocabulary).
        """
        embedded = self.last_word_dropout(embedded, training=training)
        features = self.output_dropout(ops.concatenate([features, embedded], axis=-1), training=training)
        hidden = self.output_projection(features)
        logits = ops.matmul(hidden, ops.transpose(ops.cast(self.embedding.embeddings, hidden.dtype)))
        return ops.cast(logits, "float32") + ops.cast(self.output_bias, "float32")

    def step(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State, Tensor]:
        """Advance all captions by one word. Search and the exported models use this method.

        Args:
            words: number of the previous word of each caption, int (batch, captions).
            state: a State: the LSTM's hidden state and cell state before this word, float
                (batch, captions, units). The method `initial_state` makes the first one.
            memory: a Memory, the attention's keys and values, which the method `remember` computes.

        Returns:
            The logits of the next word, float32 (batch, captions, vocabulary); the new
            State; the attention weights, float32 (batch, captions, regions).
        """
        embedded = self._embed(words)
        features, state, attention = self._advance(embedded, state, memory)
        return self._logits(features, embedded), state, attention

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Compute the logits after each word of given captions (teacher forcing).

        The logits are the same as with the method `step`, called word by word. This
        method is faster: it computes the embeddings and logits of all words at once.

        Args:
            inputs: a pair: regions, float (batch, regions, channels), and word numbers
                of captions that begin with <start>, int (batch, captions, length).
            training: True to apply dropout. Then `attention_entropy` times the mean entropy
                of the attention weights, in nats, is added to the losses of Keras.

        Returns:
            The logits, float32 (batch, captions, length, vocabulary).
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

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the logits, (batch, captions, length, vocabulary).

        Args:
            input_shape: the shapes of the regions and of the word numbers, a pair.
        """
        return (*input_shape[1], self.vocabulary_size)

    def compute_output_spec(
        self, inputs: tuple[keras.KerasTensor, keras.KerasTensor], training: bool = False
    ) -> keras.KerasTensor:
        """Return the shape and type of the logits. They are float32 in mixed precision too."""
        return keras.KerasTensor(self.compute_output_shape([each.shape for each in inputs]), "float32")

    def sharpen_attention(self, factor: float) -> None:
        """Make a trained decoder attend to fewer regions (factor above 1) or to more regions (factor below 1).

        The attention's energies are multiplied by the factor. The region with the largest weight stays the same.
        """
        self.attention.energy.assign(self.attention.energy * factor)

    def get_config(self) -> dict:
        """Return the constructor's arguments as a dict. Keras stores them in a `.keras` file."""
        names = ("vocabulary_size", "units", "attention_units", "embedding_size", "dropout", "grounded", "value_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _mean_entropy(weights, real):
    """Compute the mean entropy of the attention weights of all words except padding.

    This entropy is a part of the loss. It makes attention narrow where the captions do not determine the attention:
    Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", 2004.

    Args:
        weights: attention weights of each word, float (…, regions).
        real: True for words, False for padding, boolean (…).

    Returns:
        The mean entropy in nats, a scalar.
    """
    real = ops.cast(real, "float32")
    entropy = -ops.sum(weights * ops.log(weights + 1e-9), axis=-1)
    return ops.sum(entropy * real) / ops.maximum(ops.sum(real), 1.0)
