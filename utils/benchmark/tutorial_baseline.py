"""Do the same work as the program in the way in which tutorials program it: the baseline of the benchmark.

Layers and weights are those of the program. The order and the batching of the work differ. Tests check that both give
the same regions, losses and captions.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.features.architectures import ARCHITECTURES

# Special words that a caption must not contain.
NEVER_WRITTEN = (PAD, START, UNKNOWN)


def cache_regions(encoder, photos, folder):
    """Compute the regions of photos one by one with `Model.predict`, and save them as float32 .npy files.

    Args:
        encoder: Encoder whose Keras network is used.
        photos: list of objects with `id` and `path`.
        folder: existing folder to which the files are written.
    """
    preprocess = getattr(keras.applications, ARCHITECTURES[encoder.name].application).preprocess_input
    size = (encoder.image_size, encoder.image_size)
    for photo in photos:
        image = keras.utils.load_img(photo.path, target_size=size)
        pixels = preprocess(np.expand_dims(keras.utils.img_to_array(image), axis=0))
        features = encoder.network.predict(pixels, verbose=0)
        np.save(Path(folder) / f"{photo.id}.npy", features.reshape(-1, features.shape[-1]))


class StepByStep:
    """Run a decoder one word at a time, as tutorials do. Each row of the batch is one caption.

    Args:
        decoder: AttentionDecoder whose layers and weights are used.
    """

    def __init__(self, decoder):
        self.decoder = decoder

    def begin(self, regions, training=False):
        """Compute what the decoder needs before the first word.

        Args:
            regions: regions of the photo of each caption, float (rows, regions, channels).
            training: True to apply dropout.

        Returns:
            (keys, values, state): keys and values of the attention, float (rows, regions, …), and the initial state of
            the LSTM, a list of two tensors, float (rows, units).
        """
        decoder = self.decoder
        values = decoder.region_norm((regions - decoder.region_mean) * decoder.region_scale)
        values = decoder.region_dropout(values, training=training)
        state = decoder.initial(tf.reduce_mean(values, axis=1))
        return decoder.attention.keys(values), values, tf.split(state, 2, axis=-1)

    def look(self, words, state, keys, values, training=False):
        """Attend to the regions and advance the LSTM by one word of each caption.

        Args:
            words: number of the word, int (rows,).
            state: state of the LSTM, a list of two tensors, float (rows, units).
            keys, values: keys and values of the attention, float (rows, regions, …). The method `begin` computes them.
            training: True to apply dropout.

        Returns:
            (features, state): the input of the output layer, float (rows, features), and the new state of the LSTM.
        """
        decoder = self.decoder
        embedded = decoder.embedding(words) * decoder.embedding_size**0.5
        embedded = decoder.word_dropout(embedded, training=training)
        context = decoder.attention(state[0][:, None], values, keys)
        context = context[:, 0] * decoder.gate(state[0])
        _, state = decoder.cell(tf.concat([embedded, context], axis=-1), list(state))
        return tf.concat([state[0], context, embedded], axis=-1), state

    def logits(self, features, training=False):
        """Compute the logits of the next word, float (rows, vocabulary).

        `features` is the input of the output layer, float (rows, features). `training` is True to apply dropout.
        """
        decoder = self.decoder
        hidden = decoder.output_projection(decoder.output_dropout(features, training=training))
        return tf.matmul(hidden, decoder.embedding.embeddings, transpose_b=True) + decoder.output_bias

    def after(self, prefixes, regions, training=False):
        """Compute the logits of the next word after given words.

        Args:
            prefixes: word numbers of the given words, int (rows, length), padded with PAD. Padding has no effect.
            regions: regions of the photo of each row, float (rows, regions, channels).
            training: True to apply dropout.

        Returns:
            Logits, float (rows, vocabulary).
        """
        keys, values, state = self.begin(regions, training)
        last = None
        for position in range(prefixes.shape[1]):
            features, new = self.look(prefixes[:, position], state, keys, values, training)
            real = (prefixes[:, position] != PAD)[:, None]
            last = features if last is None else tf.where(real, features, last)
            state = [tf.where(real, after, before) for after, before in zip(new, state)]
        return self.logits(last, training)


class TrainingLoop:
    """Train a decoder in eager mode with `tf.GradientTape`, as tutorials do.

    Args:
        decoder: AttentionDecoder in float32.
        smoothing: share of the target probability that is spread evenly over the vocabulary, 0 to 1.
        learning_rate: learning rate of Adam.
    """

    def __init__(self, decoder, smoothing, learning_rate=1e-3):
        self.decoder, self.loop, self.smoothing = decoder, StepByStep(decoder), smoothing
        self.optimizer = keras.optimizers.Adam(learning_rate)

    def load(self, files, captions):
        """Load the regions of photos from files, and repeat them for each caption.

        Args:
            files: list of paths of .npy files, one for each photo.
            captions: number of captions of a photo.

        Returns:
            Float (photos × captions, regions, channels).
        """
        return np.repeat(np.stack([np.load(file) for file in files]), captions, axis=0)

    def one_hot(self, targets):
        """Convert word numbers, int (…), to one-hot vectors, float32 (…, vocabulary)."""
        return keras.utils.to_categorical(targets, self.decoder.vocabulary_size).astype("float32")

    def _cross_entropy(self, targets, logits):
        return keras.losses.categorical_crossentropy(targets, logits, from_logits=True, label_smoothing=self.smoothing)

    def teacher_forced_loss(self, regions, inputs, targets, training=True):
        """Compute the mean loss of all words of whole captions, a scalar, with a Python loop over the positions.

        Args:
            regions: float (rows, regions, channels).
            inputs: word numbers of the captions, int (rows, length), which begin with <start>.
            targets: one-hot vectors of the next words, float (rows, length, vocabulary).
            training: True to apply dropout.
        """
        keys, values, state = self.loop.begin(regions, training)
        total = words = 0.0
        for position in range(inputs.shape[1]):
            features, state = self.loop.look(inputs[:, position], state, keys, values, training)
            logits = self.loop.logits(features, training)
            real = 1.0 - targets[:, position, PAD]
            total += tf.reduce_sum(real * self._cross_entropy(targets[:, position], logits))
            words += tf.reduce_sum(real)
        return total / words

    def expanded_loss(self, regions, prefixes, targets, training=True):
        """Compute the mean loss, a scalar, of the next word after each prefix, the beginning of a caption.

        Args:
            regions: regions of the photo of each row, float (rows, regions, channels).
            prefixes: word numbers, int (rows, length), padded with PAD.
            targets: one-hot vectors of the next words, float (rows, vocabulary).
            training: True to apply dropout.
        """
        return tf.reduce_mean(self._cross_entropy(targets, self.loop.after(prefixes, regions, training)))

    def teacher_forced_step(self, files, inputs, targets):
        """Do one training step on whole captions.

        Args:
            files: list of paths of .npy files with the photos' regions.
            inputs, targets: word numbers of the captions, int (photos, captions, length). Inputs begin with <start>,
                targets end with <end>.

        Returns:
            A dict from phase of the step, such as "forward", to seconds.
        """
        captions, length = inputs.shape[1:]
        start = time.perf_counter()
        regions, words = self.load(files, captions), inputs.reshape(-1, length)
        answers = self.one_hot(targets.reshape(-1, length))
        return self._step(start, self.teacher_forced_loss, regions, words, answers)

    def expanded_step(self, file, inputs, targets):
        """Do one training step on the captions of one photo, with a separate sample for each word.

        Args:
            file: path of the .npy file with the photo's regions.
            inputs, targets: word numbers of the captions, int (captions, length). Inputs begin with <start>, targets
                end with <end>.

        Returns:
            A dict from phase of the step, such as "forward", to seconds.
        """
        start = time.perf_counter()
        prefixes, following = expand(inputs, targets)
        regions = self.load([file], len(prefixes))
        return self._step(start, self.expanded_loss, regions, prefixes, self.one_hot(following))

    def _step(self, start, loss, *batch):
        """Compute loss and gradients, and update the weights. Returns a dict from phase of the step to seconds.

        After each phase a value is read, because reading a value waits until the GPU has computed it.

        Args:
            start: `time.perf_counter()` at the beginning of the step.
            loss: the function that computes the loss, `teacher_forced_loss` or `expanded_loss`.
            batch: the arguments of this function, NumPy arrays.
        """
        batch = [tf.constant(array) for array in batch]
        loaded = time.perf_counter()
        with tf.GradientTape() as tape:
            value = loss(*batch)
        value.numpy()
        forward = time.perf_counter()
        variables = self.decoder.trainable_variables
        gradients = tape.gradient(value, [variable.value for variable in variables])
        tf.convert_to_tensor(gradients[0]).numpy()
        backward = time.perf_counter()
        self.optimizer.apply_gradients(zip(gradients, variables))
        variables[0].numpy()
        return {
            "input": loaded - start,
            "forward": forward - loaded,
            "forward and backward": backward - loaded,
            "whole step": time.perf_counter() - start,
        }


def expand(inputs, targets):
    """Make a training sample for every word of captions: the input is all words before it, the target is the word.

    Args:
        inputs, targets: word numbers of the captions, int (captions, length). Inputs begin with <start>, targets end
            with <end>.

    Returns:
        (prefixes, words): the inputs, int (samples, length), padded with PAD, and the targets, int (samples,).
    """
    prefixes, following = [], []
    for caption, words in zip(inputs, targets):
        for position in range(np.count_nonzero(words != PAD)):
            prefixes.append(np.where(np.arange(len(caption)) <= position, caption, PAD))
            following.append(words[position])
    return np.stack(prefixes), np.array(following)


@keras.saving.register_keras_serializable(package="captioning")
class NextWord(keras.Model):
    """A Keras model that predicts the probabilities of the next word from regions and the words so far.

    Args:
        decoder: AttentionDecoder whose layers and weights are used.
    """

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder
        self.built = True

    def call(self, inputs):
        """Compute the probabilities of the next word after each prefix, float (batch, vocabulary).

        As in tutorials, no state is kept: each call runs the LSTM over the whole prefix.

        Args:
            inputs: [regions, prefixes]: float (batch, regions, channels), and word numbers, int (batch, length).
        """
        regions, prefixes = inputs
        return tf.nn.softmax(StepByStep(self.decoder).after(prefixes, regions))


def write_caption(model, regions, beam_size, max_words):
    """Write a caption by beam search as tutorials do, with one `Model.predict` for every word of every hypothesis.

    Args:
        model: a NextWord, which predicts the next word.
        regions: regions of one photo, float (regions, channels).
        beam_size: number of hypotheses that are kept; 1 means greedy search.
        max_words: largest number of words.

    Returns:
        A list of word numbers. The last one is END, unless the caption was cut at `max_words`.
    """
    hypotheses = [([], 0.0)]
    for _ in range(max_words):
        candidates = []
        for words, score in hypotheses:
            if words[-1:] == [END]:
                candidates.append((words, score))
                continue
            prefix = np.full((1, max_words), PAD, "int32")
            prefix[0, : len(words) + 1] = [START, *words]
            scores = np.log(model.predict([regions[None], prefix], verbose=0)[0] + 1e-30)
            scores[list(NEVER_WRITTEN if words else (*NEVER_WRITTEN, END))] = -np.inf
            for word in np.argsort(-scores)[:beam_size]:
                candidates.append(([*words, int(word)], score + scores[word]))
        hypotheses = sorted(candidates, key=lambda item: -item[1])[:beam_size]
        if all(words[-1] == END for words, _ in hypotheses):
            break
    return hypotheses[0][0]
