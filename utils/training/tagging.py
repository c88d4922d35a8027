"""The tagging stage: an encoder is trained to predict the words of a photo's captions, its tags."""

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import PAD, SPECIAL_WORDS
from utils.training.losses import MeanLoss

# A word belongs to a photo, for `tag_precision`, if two of its five captions hold the word. A word in a single caption
# often describes what only one person saw.
_SHOWN = 0.39

# Photos per batch when the words of captions are counted; each photo takes a megabyte.
_BATCH_PHOTOS = 64

# Training steps of the linear layer alone: five epochs of 6,000 photos.
_PROBE_STEPS = 500


class Tagger(keras.Model):
    """Model from pixels to the logits of all words, by a linear layer on the mean region.

    Fang et al., "From captions to visual concepts and back", 2015, section 3, without its search for the region of a
    word.

    Args:
        encoder: Encoder to train.
        vocabulary_size: number of words.
        dropout: dropout rate of the mean region.
    """

    def __init__(self, encoder, vocabulary_size, dropout):
        super().__init__()
        self.encoder = encoder
        # Keras tracks layers only, and an Encoder is not a layer.
        self._network = encoder.network
        self.region_dropout = keras.layers.Dropout(dropout)
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer="zeros", name="head")
        self.mean = self.add_weight(name="mean", shape=(encoder.channels,), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=(encoder.channels,), initializer="ones", trainable=False)
        self.head.build((None, encoder.channels))
        self.built = True

    def fit_head(self, means, targets, seed=0):
        """Fit the linear layer to the frozen encoder; takes seconds for thousands of photos.

        With an untrained layer the encoder would learn noise and lose what it knows: Kumar et al., "Fine-tuning can
        distort pretrained features and underperform out-of-distribution", 2022.

        Args:
            means: mean regions of the training photos, float32 (photos, channels).
            targets: their captions, int (photos, captions, length).
            seed: seed of photo order and dropout.
        """
        deviation = means.std(axis=0)
        self.mean.assign(means.mean(axis=0))
        self.scale.assign(1 / np.maximum(deviation, 0.1 * deviation.mean()))
        batches = (targets[i : i + _BATCH_PHOTOS] for i in range(0, len(targets), _BATCH_PHOTOS))
        shares = sum(np.sum(tag_shares(batch, self.head.units), axis=0) for batch in batches) / len(targets)
        shares = np.clip(shares, 1e-4, 1 - 1e-4)
        self.head.bias.assign(np.log(shares / (1 - shares)))

        inputs = keras.Input(means.shape[1:])
        probe = keras.Model(inputs, self.head(keras.layers.Dropout(0.3, seed=seed)(inputs)))
        schedule = keras.optimizers.schedules.CosineDecay(1e-3, _PROBE_STEPS)
        probe.compile(keras.optimizers.AdamW(schedule, weight_decay=0.2), TagLoss())
        means, generator = (means - self.mean.numpy()) * self.scale.numpy(), np.random.default_rng(seed)
        for _ in range(_PROBE_STEPS):
            chosen = generator.choice(len(means), min(_BATCH_PHOTOS, len(means)), replace=False)
            probe.train_on_batch(means[chosen], targets[chosen])

    def tags(self, regions, training=False):
        """Word logits, float (batch, vocabulary), of regions (batch, regions, channels)."""
        mean_region = (ops.mean(regions, axis=1) - self.mean) * self.scale
        return self.head(self.region_dropout(mean_region, training=training))

    def call(self, inputs, training=False):
        """Word logits, float (batch, vocabulary); `inputs` are (pixels, captions), and captions are not used."""
        return self.tags(self.encoder.forward(inputs[0]), training=training)


class TagLoss(MeanLoss):
    """Cross-entropy between tags and `tag_shares`, divided by the sum of the shares."""

    def __init__(self):
        super().__init__("tag_loss")

    def sums(self, targets, logits):
        """Sums over photos with captions; targets are int (batch, captions, length), logits (batch, vocabulary)."""
        shares = tag_shares(targets, logits.shape[-1])
        loss = ops.sum(ops.binary_crossentropy(shares, logits, from_logits=True), axis=-1)
        real = ops.cast(ops.any(targets != PAD, axis=(1, 2)), "float32")
        return ops.sum(loss * real), ops.sum(shares)


def tag_shares(captions, vocabulary_size):
    """The share of each photo's captions that hold each word.

    Args:
        captions: int (batch, captions, length); captions of padding alone do not count.
        vocabulary_size: number of words.

    Returns:
        Float32 (batch, vocabulary_size), 0 to 1; 0 for special words.
    """
    ordinary = ops.cast(ops.arange(vocabulary_size) >= len(SPECIAL_WORDS), "float32")
    held = ops.max(ops.one_hot(captions, vocabulary_size, dtype="float32"), axis=2) * ordinary
    count = ops.sum(ops.cast(ops.any(captions != PAD, axis=2), "float32"), axis=1)
    return ops.sum(held, axis=1) / ops.maximum(count, 1.0)[:, None]


def tag_precision(shares, logits, least=0.01):
    """Mean average precision of tags: how well the logits of a word rank its photos before all others.

    Args:
        shares: float (photos, words), from `tag_shares`.
        logits: float (photos, words).
        least: smallest share of the photos that a word must belong to; rarer words are left out.

    Returns:
        The mean over words, 0 to 1; 0 if no word is frequent enough.
    """
    shown = np.asarray(shares) >= _SHOWN
    precisions = []
    for word in np.flatnonzero(shown.sum(axis=0) >= max(1, least * len(shown))):
        ranked = shown[np.argsort(-logits[:, word], kind="stable"), word]
        found = np.flatnonzero(ranked)
        precisions.append(np.mean(np.arange(1, len(found) + 1) / (found + 1)))
    return float(np.mean(precisions)) if precisions else 0.0
