"""What training makes small."""

import keras
from keras import ops

from utils.data.tokenizer import PAD


class MeanLoss(keras.losses.Loss):
    """A sum over a batch, divided by what is counted in it; replicas of a batch add up both before they divide."""

    def __init__(self, name):
        super().__init__(name=name, reduction=None)

    def sums(self, targets, outputs):
        """The sum and the count, float32 scalars."""
        raise NotImplementedError

    def call(self, targets, outputs):
        """The mean over the batch; 0 where nothing counts."""
        total, count = self.sums(targets, outputs)
        return total / ops.maximum(count, 1.0)


class CaptionLoss(MeanLoss):
    """Cross-entropy per word, padding left out, with label smoothing.

    Szegedy et al., "Rethinking the inception architecture", 2016, section 7.

    Args:
        smoothing: share of the target spread evenly over the vocabulary.
    """

    def __init__(self, smoothing=0.0):
        super().__init__("caption_loss")
        self.smoothing = smoothing

    def sums(self, targets, logits):
        """Over all words of the batch, of targets (…, length) and logits (…, length, vocabulary)."""
        real = ops.cast(targets != PAD, "float32")
        normaliser = ops.logsumexp(logits, axis=-1)
        right = logits_of(targets, logits)
        smooth = (1 - self.smoothing) * right + self.smoothing * ops.mean(logits, axis=-1)
        return ops.sum(real * (normaliser - smooth)), ops.sum(real)


def logits_of(words, logits):
    """The logits (…) that given words (…) have among those of all words (…, vocabulary).

    By a product: the gradient of a gather is added up word after word, which takes a twelfth of a training step.
    """
    return ops.sum(ops.one_hot(words, logits.shape[-1], dtype=logits.dtype) * logits, axis=-1)
