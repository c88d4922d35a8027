"""Loss functions."""

import keras
from keras import ops

from utils.data.tokenizer import PAD


class MeanLoss(keras.losses.Loss):
    """A sum over a batch divided by a count. On several devices, sum and count are added up before the division."""

    def __init__(self, name):
        super().__init__(name=name, reduction=None)

    def sums(self, targets, outputs):
        """The sum and the count of a batch, two float32 scalars."""
        raise NotImplementedError

    def call(self, targets, outputs):
        """The mean over the batch; 0 if the count is 0."""
        total, count = self.sums(targets, outputs)
        return total / ops.maximum(count, 1.0)


class CaptionLoss(MeanLoss):
    """Cross-entropy per word with label smoothing; padding does not count.

    Szegedy et al., "Rethinking the inception architecture", 2016, section 7.

    Args:
        smoothing: share of the target probability that is spread evenly over the vocabulary, 0 to 1.
    """

    def __init__(self, smoothing=0.0):
        super().__init__("caption_loss")
        self.smoothing = smoothing

    def sums(self, targets, logits):
        """Summed cross-entropy and number of words; targets are (…, length), logits (…, length, vocabulary)."""
        real = ops.cast(targets != PAD, "float32")
        normaliser = ops.logsumexp(logits, axis=-1)
        right = logits_of(targets, logits)
        smooth = (1 - self.smoothing) * right + self.smoothing * ops.mean(logits, axis=-1)
        return ops.sum(real * (normaliser - smooth)), ops.sum(real)


def logits_of(words, logits):
    """The logits (…) of given words (…), out of the logits of all words (…, vocabulary).

    Computed as a product with one-hot vectors: the gradient of a gather would take a twelfth of a training step.
    """
    return ops.sum(ops.one_hot(words, logits.shape[-1], dtype=logits.dtype) * logits, axis=-1)
