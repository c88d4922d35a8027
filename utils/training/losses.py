"""Define the losses of training."""

import keras
from keras import ops

from utils.data.tokenizer import PAD


class MeanLoss(keras.losses.Loss):
    """Compute a loss as a sum over the batch divided by a count, such as the number of words: a base class.

    With several devices, the sums and the counts of all devices are added up before the division.
    """

    def __init__(self, name):
        super().__init__(name=name, reduction=None)

    def sums(self, targets, outputs):
        """Return the sum of the losses in a batch, and the number of words or photos that were counted.

        Subclasses implement this method.

        Args:
            targets: a tensor with what the model should predict, such as word numbers.
            outputs: a tensor with the model's predictions, such as logits.

        Returns:
            (sum, count), two float32 scalars.
        """
        raise NotImplementedError

    def call(self, targets, outputs):
        """Return the mean loss of a batch: the sum divided by the count, or 0 if the count is 0.

        `targets` is a tensor with what the model should predict, and `outputs` is a tensor with its predictions.
        """
        total, count = self.sums(targets, outputs)
        return total / ops.maximum(count, 1.0)


class CaptionLoss(MeanLoss):
    """Compute the mean cross-entropy per word, with label smoothing. Padding is left out.

    Label smoothing is described in Szegedy et al., "Rethinking the inception architecture", 2016, section 7.

    Args:
        smoothing: share of the target probability that is spread evenly over the vocabulary, 0 to 1.
    """

    def __init__(self, smoothing=0.0):
        super().__init__("caption_loss")
        self.smoothing = smoothing

    def sums(self, targets, logits):
        """Return (sum of the cross-entropies of all words, number of words), two float32 scalars.

        Args:
            targets: word numbers, int (…, length), padded with PAD.
            logits: float (…, length, vocabulary).
        """
        real = ops.cast(targets != PAD, "float32")
        normaliser = ops.logsumexp(logits, axis=-1)
        right = logits_of(targets, logits)
        smooth = (1 - self.smoothing) * right + self.smoothing * ops.mean(logits, axis=-1)
        return ops.sum(real * (normaliser - smooth)), ops.sum(real)


def logits_of(words, logits):
    """Select the logits of given words from the logits of all words.

    The words become one-hot vectors, which are multiplied by the logits. Selecting by index would be slower: its
    gradient takes a twelfth of a training step.

    Args:
        words: word numbers, int (…).
        logits: logits of all words, float (…, vocabulary).

    Returns:
        Float (…).
    """
    return ops.sum(ops.one_hot(words, logits.shape[-1], dtype=logits.dtype) * logits, axis=-1)
