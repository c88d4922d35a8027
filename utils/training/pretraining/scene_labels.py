"""Make the data of pretraining, and compute its loss and accuracies: predict shape, colour and box at each region."""

import numpy as np
from keras import ops

from utils.training.pretraining.labelled_scenes import COLOUR_LABELS, LABELS, SHAPE_LABELS, draw_labelled

# Weight of the box error in the loss. The other terms of the loss, two cross-entropies, have the weight 1.
_BOX_WEIGHT = 2.0


class SceneLabels:
    """Draw random scenes with labels for each region, and compute loss and accuracies of predicted labels.

    Args:
        size: side of the scenes in pixels.
        rows, columns: numbers of rows and columns of the encoder's grid of regions.
    """

    channels = LABELS

    def __init__(self, size, rows, columns):
        self._shape = size, rows, columns

    def batch(self, generator, count):
        """Draw new scenes.

        Args:
            generator: NumPy random generator.
            count: number of scenes.

        Returns:
            (pixels, labels): uint8 (count, size, size, 3) and float32 (count, rows, columns, LABELS). `draw_labelled`
            describes the labels.
        """
        drawn = [draw_labelled(generator, *self._shape) for _ in range(count)]
        return tuple(np.stack(arrays) for arrays in zip(*drawn))

    def validation(self, count):
        """Draw the `count` validation scenes, which training never uses. The result is as for `batch`."""
        return self.batch(np.random.default_rng([0, 2**31]), count)

    @staticmethod
    def loss(labels, outputs):
        """Compute the loss: the cross-entropies of shape and colour, plus the mean error of the boxes × 2.

        Args:
            labels: float (batch, rows, columns, LABELS), from `batch`.
            outputs: predicted logits and boxes, in the same shape.

        Returns:
            A scalar.
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
        """Compute the accuracies of shape and colour.

        The shape is measured in regions in which one shape covers more than half of the area, and the colour in regions
        in which one colour does.

        Args:
            labels, outputs: as for `loss`, but NumPy arrays.

        Returns:
            A dict with the keys "shape_accuracy" and "colour_accuracy", 0 to 1.
        """
        (shapes, colours, _), (shape_logits, colour_logits, _) = _split(labels), _split(outputs)
        figures = {}
        for name, shares, logits in (("shape", shapes, shape_logits), ("colour", colours, colour_logits)):
            clear = shares[..., 1:].max(axis=-1) > 0.5
            figures[f"{name}_accuracy"] = float((shares.argmax(-1) == logits.argmax(-1))[clear].mean())
        return figures


def _split(labels):
    """Split the last axis of labels (…, LABELS) into (shapes, colours, boxes)."""
    ends = SHAPE_LABELS, SHAPE_LABELS + COLOUR_LABELS
    return labels[..., : ends[0]], labels[..., ends[0] : ends[1]], labels[..., ends[1] :]
