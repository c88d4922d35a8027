"""Tutorial baseline: the same computations, programmed as tutorials of image captioning program them.

Layers and weights are those of the program; the arrangement of the work differs. Tests compare regions, losses and
captions of both.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.features.encoders import ARCHITECTURES

NEVER_WRITTEN = (PAD, START, UNKNOWN)


def cache_regions(encoder, photos, folder):
    """Extract regions photo by photo: load, `model.predict`, one float32 .npy file.

    Args:
        encoder: Encoder whose Keras network is used.
        photos: objects with `id` and `path`.
        folder: folder for the files.
    """
    preprocess = getattr(keras.applications, ARCHITECTURES[encoder.name].application).preprocess_input
    size = (encoder.image_size, encoder.image_size)
    for photo in photos:
        image = keras.utils.load_img(photo.path, target_size=size)
        pixels = preprocess(np.expand_dims(keras.utils.img_to_array(image), axis=0))
        features = encoder.network.predict(pixels, verbose=0)
        np.save(Path(folder) / f"{photo.id}.npy", features.reshape(-1, features.shape[-1]))


class StepByStep:
    """The decoder, one word at a time, with a batch row for every caption.

    Args:
        decoder: AttentionDecoder whose weights are shared.
    """

    def __init__(self, decoder):
        self.decoder = decoder

    def begin(self, regions, training=False):
        """Keys, values and initial state of the decoder.

        Args:
            regions: float (rows, regions, channels).
            training: whether dropout is on.
        """
        decoder = self.decoder
        values = decoder.region_norm((regions - decoder.region_mean) * decoder.region_scale)
        values = decoder.region_dropout(values, training=training)
        state = decoder.initial(tf.reduce_mean(values, axis=1))
        return decoder.attention.keys(values), values, tf.split(state, 2, axis=-1)

    def look(self, words, state, keys, values, training=False):
        """Read one word per row; returns the inputs of the output layer and the new state."""
        decoder = self.decoder
        embedded = decoder.embedding(words) * decoder.embedding_size**0.5
        embedded = decoder.word_dropout(embedded, training=training)
        context = decoder.attention(state[0][:, None], values, keys)
        context = context[:, 0] * decoder.gate(state[0])
        _, state = decoder.cell(tf.concat([embedded, context], axis=-1), list(state))
        return tf.concat([state[0], context, embedded], axis=-1), state

    def logits(self, features, training=False):
        """Logits of the next word, (rows, vocabulary)."""
        decoder = self.decoder
        hidden = decoder.output_projection(decoder.output_dropout(features, training=training))
        return tf.matmul(hidden, decoder.embedding.embeddings, transpose_b=True) + decoder.output_bias

    def after(self, prefixes, regions, training=False):
        """Logits of the word after each prefix, (rows, vocabulary).

        Args:
            prefixes: int (rows, length), padded; padding has no effect.
            regions: float (rows, regions, channels).
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
    """Eager training with `GradientTape`.

    Args:
        decoder: AttentionDecoder in float32.
        smoothing: label smoothing, 0 to 1.
        learning_rate: learning rate of Adam.
    """

    def __init__(self, decoder, smoothing, learning_rate=1e-3):
        self.decoder, self.loop, self.smoothing = decoder, StepByStep(decoder), smoothing
        self.optimizer = keras.optimizers.Adam(learning_rate)

    def load(self, files, captions):
        """Regions from .npy files, copied for each caption of a photo: (photos * captions, regions, channels)."""
        return np.repeat(np.stack([np.load(file) for file in files]), captions, axis=0)

    def one_hot(self, targets):
        """Targets (…) as one-hot vectors, float32 (…, vocabulary)."""
        return keras.utils.to_categorical(targets, self.decoder.vocabulary_size).astype("float32")

    def _cross_entropy(self, targets, logits):
        return keras.losses.categorical_crossentropy(targets, logits, from_logits=True, label_smoothing=self.smoothing)

    def teacher_forced_loss(self, regions, inputs, targets, training=True):
        """Mean loss over all words of whole captions, position after position.

        Args:
            regions: float (rows, regions, channels).
            inputs: int (rows, length), starting with <start>.
            targets: one-hot, float (rows, length, vocabulary).
            training: whether dropout is on.
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
        """Mean loss of one word after each prefix; targets are one-hot (rows, vocabulary)."""
        return tf.reduce_mean(self._cross_entropy(targets, self.loop.after(prefixes, regions, training)))

    def teacher_forced_step(self, files, inputs, targets):
        """One training step over whole captions; returns seconds by phase.

        Args:
            files: .npy files of the photos' regions.
            inputs, targets: int (photos, captions, length).
        """
        captions, length = inputs.shape[1:]
        start = time.perf_counter()
        regions, words = self.load(files, captions), inputs.reshape(-1, length)
        answers = self.one_hot(targets.reshape(-1, length))
        return self._step(start, self.teacher_forced_loss, regions, words, answers)

    def expanded_step(self, file, inputs, targets):
        """One training step over a photo's captions with one sample per word; returns seconds by phase.

        Args:
            file: .npy file of the photo's regions.
            inputs, targets: int (captions, length).
        """
        start = time.perf_counter()
        prefixes, following = expand(inputs, targets)
        regions = self.load([file], len(prefixes))
        return self._step(start, self.expanded_loss, regions, prefixes, self.one_hot(following))

    def _step(self, start, loss, *batch):
        """Forward pass, backward pass and update. Reading a value waits until a GPU has computed it."""
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
    """One sample for every word of captions: the words before it, and the word.

    Args:
        inputs, targets: int (captions, length).

    Returns:
        Prefixes, int (samples, length), padded; and words, int (samples,).
    """
    prefixes, following = [], []
    for caption, words in zip(inputs, targets):
        for position in range(np.count_nonzero(words != PAD)):
            prefixes.append(np.where(np.arange(len(caption)) <= position, caption, PAD))
            following.append(words[position])
    return np.stack(prefixes), np.array(following)


@keras.saving.register_keras_serializable(package="captioning")
class NextWord(keras.Model):
    """Model for `predict`: from [regions, prefixes] to probabilities of the next word, (batch, vocabulary)."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder
        self.built = True

    def call(self, inputs):
        """Read the whole prefix again for every word."""
        regions, prefixes = inputs
        return tf.nn.softmax(StepByStep(self.decoder).after(prefixes, regions))


def write_caption(model, regions, beam_size, max_words):
    """A caption by beam search, with one `predict` for every word of every hypothesis.

    Args:
        model: a NextWord.
        regions: regions of one photo, float (regions, channels).
        beam_size: number of hypotheses kept; 1 is greedy.
        max_words: largest number of words.

    Returns:
        Word numbers, a list, with END if the caption reached it.
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
