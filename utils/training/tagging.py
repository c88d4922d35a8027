"""An encoder learns to see what people write of: it is trained to name the words of a photo's captions, its tags."""

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import PAD, SPECIAL_WORDS
from utils.training.losses import MeanLoss

# A photo shows a word, for `tag_precision`, if two of its five captions hold it;
# one caption alone often tells what only one person saw.
_SHOWN = 0.39

# Photos whose captions are counted together: each takes a megabyte on the way.
_BATCH_PHOTOS = 64

# Of the linear layer alone: five times over 6,000 photos.
_PROBE_STEPS = 500


class Tagger(keras.Model):
    """From pixels to the logits of all words, by a linear layer on the mean region.

    Fang et al., "From captions to visual concepts and back", 2015, section 3,
    without the search for where a word is seen.

    Args:
        encoder: an Encoder, which is trained.
        vocabulary_size: words.
        dropout: rate on the mean region, while training only.
    """

    def __init__(self, encoder, vocabulary_size, dropout):
        super().__init__()
        self.encoder = encoder
        # Keras follows layers only, and an Encoder is none.
        self._network = encoder.network
        self.region_dropout = keras.layers.Dropout(dropout)
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer="zeros", name="head")
        self.mean = self.add_weight(name="mean", shape=(encoder.channels,), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=(encoder.channels,), initializer="ones", trainable=False)
        self.head.build((None, encoder.channels))
        self.built = True

    def prepare(self, means, targets, seed=0):
        """Fit the linear layer to the encoder as it is, which stays so.

        From a layer that knows nothing the encoder would learn noise, and lose
        what it knew: Kumar et al., "Fine-tuning can distort pretrained features
        and underperform out-of-distribution", 2022. Seconds for thousands of photos.

        Args:
            means: mean regions of training photos, float32 (photos, channels).
            targets: their captions, int (photos, captions, length).
            seed: of order and dropout.
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
        """Logits of the words (batch, vocabulary) from regions (batch, regions, channels)."""
        mean_region = (ops.mean(regions, axis=1) - self.mean) * self.scale
        return self.head(self.region_dropout(mean_region, training=training))

    def call(self, inputs, training=False):
        """Logits (batch, vocabulary) of pixels (batch, size, size, 3); captions beside them are not looked at."""
        return self.tags(self.encoder.forward(inputs[0]), training=training)


class TagLoss(MeanLoss):
    """Cross-entropy between tags and the shares of captions that hold them, per word that a caption holds."""

    def __init__(self):
        super().__init__("tag_loss")

    def sums(self, targets, logits):
        """Over photos that have captions: targets (batch, captions, length), logits (batch, vocabulary)."""
        shares = tag_shares(targets, logits.shape[-1])
        loss = ops.sum(ops.binary_crossentropy(shares, logits, from_logits=True), axis=-1)
        real = ops.cast(ops.any(targets != PAD, axis=(1, 2)), "float32")
        return ops.sum(loss * real), ops.sum(shares)


def tag_shares(captions, vocabulary_size):
    """The share of each photo's captions that hold each word.

    Args:
        captions: int (batch, captions, length); those of padding alone do not count.

    Returns:
        Float32 (batch, vocabulary_size); special words have none.
    """
    ordinary = ops.cast(ops.arange(vocabulary_size) >= len(SPECIAL_WORDS), "float32")
    held = ops.max(ops.one_hot(captions, vocabulary_size, dtype="float32"), axis=2) * ordinary
    count = ops.sum(ops.cast(ops.any(captions != PAD, axis=2), "float32"), axis=1)
    return ops.sum(held, axis=1) / ops.maximum(count, 1.0)[:, None]


def tag_precision(shares, logits, least=0.01):
    """Mean average precision of tags: how far the photos that show a word come before the others.

    Args:
        shares: of `tag_shares`, (photos, words).
        logits: (photos, words).
        least: words that fewer than this share of the photos show are left out.

    Returns:
        The mean over words, between 0 and 1; 0 if no word is frequent enough.
    """
    shown = np.asarray(shares) >= _SHOWN
    precisions = []
    for word in np.flatnonzero(shown.sum(axis=0) >= max(1, least * len(shown))):
        ranked = shown[np.argsort(-logits[:, word], kind="stable"), word]
        found = np.flatnonzero(ranked)
        precisions.append(np.mean(np.arange(1, len(found) + 1) / (found + 1)))
    return float(np.mean(precisions)) if precisions else 0.0
