"""Train an encoder to predict tags: the words in the captions of a photo."""

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import PAD, SPECIAL_WORDS
from utils.training.losses import MeanLoss

# For `tag_precision`, a word is a tag of a photo if at least this share of the photo's captions contain it, which means
# two of five captions. Words that only one person wrote are often uncertain.
_SHOWN = 0.39

# Photos per batch when tags are counted or predicted. Each photo takes a megabyte of memory.
BATCH_PHOTOS = 64

# Training steps of the linear layer alone. With 6,000 photos these are five epochs.
_PROBE_STEPS = 500


class Tagger(keras.Model):
    """Predict from the pixels of a photo which words its captions contain (its tags), in order to train the encoder.

    A linear layer, `head`, computes the logits of all words from the mean of the photo's region vectors. The idea is
    that of Fang et al., "From captions to visual concepts and back", 2015, section 3.

    Args:
        encoder: Encoder to train.
        vocabulary_size: number of words.
        dropout: dropout rate of the input of the linear layer.
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
        """Train the linear layer while the encoder is frozen. This takes seconds for thousands of photos.

        The encoder is trained afterwards. Trained together with a random layer, the encoder would lose what it has
        learned: Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", 2022.

        Args:
            means: the mean of each training photo's region vectors, float32 (photos, channels).
            targets: word numbers of the captions of these photos, int (photos, captions, length).
            seed: random seed of the order of the photos and of dropout.
        """
        deviation = means.std(axis=0)
        self.mean.assign(means.mean(axis=0))
        self.scale.assign(1 / np.maximum(deviation, 0.1 * deviation.mean()))
        batches = (targets[i : i + BATCH_PHOTOS] for i in range(0, len(targets), BATCH_PHOTOS))
        shares = sum(np.sum(tag_shares(batch, self.head.units), axis=0) for batch in batches) / len(targets)
        shares = np.clip(shares, 1e-4, 1 - 1e-4)
        self.head.bias.assign(np.log(shares / (1 - shares)))

        inputs = keras.Input(means.shape[1:])
        probe = keras.Model(inputs, self.head(keras.layers.Dropout(0.3, seed=seed)(inputs)))
        schedule = keras.optimizers.schedules.CosineDecay(1e-3, _PROBE_STEPS)
        probe.compile(keras.optimizers.AdamW(schedule, weight_decay=0.2), TagLoss())
        means, generator = (means - self.mean.numpy()) * self.scale.numpy(), np.random.default_rng(seed)
        for _ in range(_PROBE_STEPS):
            chosen = generator.choice(len(means), min(BATCH_PHOTOS, len(means)), replace=False)
            probe.train_on_batch(means[chosen], targets[chosen])

    def tags(self, regions, training=False):
        """Compute, for each photo and word, a logit that the photo's captions contain this word.

        `regions` is float (batch, regions, channels). `training` is True to apply dropout. Returns float (batch,
        vocabulary).
        """
        mean_region = (ops.mean(regions, axis=1) - self.mean) * self.scale
        return self.head(self.region_dropout(mean_region, training=training))

    def call(self, inputs, training=False):
        """Compute, for each photo and word, a logit that the photo's captions contain this word.

        `inputs` is (pixels, captions). Pixels are (batch, size, size, 3); every batch has captions, but
        they are not used here. `training` is True to apply dropout. Returns float (batch, vocabulary).
        """
        return self.tags(self.encoder.forward(inputs[0]), training=training)


class TagLoss(MeanLoss):
    """Compute the binary cross-entropy of predicted tags, the words in a photo's captions.

    The target of a word is the share of the photo's captions that contain the word. The loss is divided by the sum of
    all targets.
    """

    def __init__(self):
        super().__init__("tag_loss")

    def sums(self, targets, logits):
        """Return two float32 scalars: the sum of the cross-entropies, and the sum of the target shares (see `TagLoss`).

        Photos without captions are left out.

        Args:
            targets: word numbers of captions, int (batch, captions, length), padded with PAD.
            logits: predicted logit of each word, float (batch, vocabulary).
        """
        shares = tag_shares(targets, logits.shape[-1])
        loss = ops.sum(ops.binary_crossentropy(shares, logits, from_logits=True), axis=-1)
        real = ops.cast(ops.any(targets != PAD, axis=(1, 2)), "float32")
        return ops.sum(loss * real), ops.sum(shares)


def tag_shares(captions, vocabulary_size):
    """Compute, for each photo and each word, the share of the photo's captions that contain the word.

    Args:
        captions: word numbers, int (batch, captions, length). Captions of padding alone do not count.
        vocabulary_size: number of words.

    Returns:
        Float32 (batch, vocabulary_size), 0 to 1. For special words, such as <end>, the share is 0.
    """
    ordinary = ops.cast(ops.arange(vocabulary_size) >= len(SPECIAL_WORDS), "float32")
    held = ops.max(ops.one_hot(captions, vocabulary_size, dtype="float32"), axis=2) * ordinary
    count = ops.sum(ops.cast(ops.any(captions != PAD, axis=2), "float32"), axis=1)
    return ops.sum(held, axis=1) / ops.maximum(count, 1.0)[:, None]


def tag_precision(shares, logits, least=0.01):
    """Compute the mean average precision of predicted tags. A tag is a word in two or more of a photo's five captions.

    For each word, the photos are ranked by the word's logit. The average precision is high if the photos that have this
    word as a tag come first. The result is the mean over the words.

    Args:
        shares: for each photo and word, the share of the photo's captions with this word, float (photos, words).
        logits: predicted logit of each word, float (photos, words).
        least: share of the photos, 0 to 1. Words that are tags of fewer photos are left out.

    Returns:
        The mean average precision, 0 to 1. It is 0 if all words are left out.
    """
    shown = np.asarray(shares) >= _SHOWN
    precisions = []
    for word in np.flatnonzero(shown.sum(axis=0) >= max(1, least * len(shown))):
        ranked = shown[np.argsort(-logits[:, word], kind="stable"), word]
        found = np.flatnonzero(ranked)
        precisions.append(np.mean(np.arange(1, len(found) + 1) / (found + 1)))
    return float(np.mean(precisions)) if precisions else 0.0
