"""Data, loss and accuracies of pretraining: the shape and the colour at each region of a scene."""

import numpy as np
from keras import ops

from utils.training.pretraining.labelled_scenes import COLOUR_LABELS, LABELS, SHAPE_LABELS, draw_labelled

# Weight of the box error in the loss, which also has two cross-entropies.
_BOX_WEIGHT = 2.0


class SceneLabels:
    """Random scenes with labels of each region.

    Args:
        size: side of the scenes in pixels.
        rows, columns: grid of the encoder.
    """

    channels = LABELS

    def __init__(self, size, rows, columns):
        self._shape = size, rows, columns

    def batch(self, generator, count):
        """New scenes: pixels, uint8 (count, size, size, 3), and labels, float32 (count, rows, columns, `LABELS`)."""
        drawn = [draw_labelled(generator, *self._shape) for _ in range(count)]
        return tuple(np.stack(arrays) for arrays in zip(*drawn))

    def validation(self, count):
        """Validation scenes, in the form of `batch`; training never uses them."""
        return self.batch(np.random.default_rng([0, 2**31]), count)

    @staticmethod
    def loss(labels, outputs):
        """Cross-entropies of shape and colour plus the mean box error: a scalar.

        Args:
            labels, outputs: float (batch, rows, columns, `LABELS`).
        """
        shapes, colours, boxes = _split(labels)
        shape_logits, colour_logits, sides = _split(outputs)
        crossed = sum(
            -ops.mean(ops.sum(shares * ops.log_softmax(logits, axis=-1), axis=-1))
            for shares, logits in ((shapes, shape_logits), (colours, colour_logits))
        )
        covered = 1 - shapes[..., :1]
        distance = ops.sum(ops.abs(boxes - sides) * covered) / (4 * ops.sum(covered) + 1)
        return crossed + _BOX_WEIGHT * distance

    @staticmethod
    def measure(labels, outputs):
        """Accuracies of shape and colour, over regions that one object covers by more than half: a dict."""
        (shapes, colours, _), (shape_logits, colour_logits, _) = _split(labels), _split(outputs)
        figures = {}
        for name, shares, logits in (("shape", shapes, shape_logits), ("colour", colours, colour_logits)):
            clear = shares[..., 1:].max(axis=-1) > 0.5
            figures[f"{name}_accuracy"] = float((shares.argmax(-1) == logits.argmax(-1))[clear].mean())
        return figures


def _split(labels):
    """Shapes, colours and boxes out of labels (…, `LABELS`)."""
    ends = SHAPE_LABELS, SHAPE_LABELS + COLOUR_LABELS
    return labels[..., : ends[0]], labels[..., ends[0] : ends[1]], labels[..., ends[1] :]
