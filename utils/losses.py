"""What training makes small."""

import keras
from keras import ops

from utils.tokenizer import PAD


class CaptionLoss(keras.losses.Loss):
    """Cross-entropy per word, padding left out, with label smoothing.

    Szegedy et al., "Rethinking the inception architecture", 2016, section 7.

    Args:
        smoothing: share of the target spread evenly over the vocabulary.
    """

    def __init__(self, smoothing=0.0):
        super().__init__(name="caption_loss", reduction=None)
        self.smoothing = smoothing

    def call(self, targets, logits):
        """The mean over all words of the batch, of targets (…, length) and logits (…, length, vocabulary)."""
        real = ops.cast(targets != PAD, "float32")
        normaliser = ops.logsumexp(logits, axis=-1)
        right = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(targets, -1), axis=-1), -1)
        smooth = (1 - self.smoothing) * right + self.smoothing * ops.mean(logits, axis=-1)
        return ops.sum(real * (normaliser - smooth)) / ops.maximum(ops.sum(real), 1.0)
