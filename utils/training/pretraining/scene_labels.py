"""Generate pictures for pretraining an encoder, with labels, and compute loss and accuracies of its predictions."""

import numpy as np
from keras import ops

from utils.training.pretraining.labelled_scenes import COLOUR_LABELS, LABELS, SHAPE_LABELS, draw_labelled

# Weight of the box error in the loss. The other terms of the loss, two cross-entropies, have the weight 1.
_BOX_WEIGHT = 2.0


class SceneLabels:
    """Generate random scenes with labels for each region, and compute loss and accuracies of predicted labels.

    A scene is a picture of coloured shapes. The labels of a region are its shape, its colour, and the box of the object
    in it.

    Args:
        size: width and height of the scenes in pixels.
        rows, columns: numbers of rows and columns of the encoder's grid of regions.
    """

    channels = LABELS

    def __init__(self, size, rows, columns):
        self._shape = size, rows, columns

    def batch(self, generator, count):
        """Generate a batch of new random scenes, pictures of coloured shapes.

        Args:
            generator: NumPy random generator.
            count: number of scenes.

        Returns:
            (pixels, labels): uint8 (count, size, size, 3), and float32 (count, rows, columns, LABELS) with the shape,
            the colour and the box of each region.
        """
        drawn = [draw_labelled(generator, *self._shape) for _ in range(count)]
        return tuple(np.stack(arrays) for arrays in zip(*drawn))

    def validation(self, count):
        """Generate `count` validation scenes, which training never uses. They are the same at every call.

        Returns (pixels, labels) as `batch` does: uint8 (count, size, size, 3), and float32 (count, rows, columns,
        LABELS) with the shape, the colour and the box of each region.
        """
        return self.batch(np.random.default_rng([0, 2**31]), count)

    @staticmethod
    def loss(labels, outputs):
        """Compute the loss of predictions.

        It is the sum of the cross-entropies of shape and of colour, plus 2 × the mean absolute error of the boxes.

        Args:
            labels: the right shape, colour and box of each region, float (batch, rows, columns, LABELS).
            outputs: predicted logits and boxes, a tensor of the same shape.

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
        """Compute how often the predicted shapes and colours of regions are right.

        A region counts for the shapes if one shape covers more than half of its area. It counts for the colours if one
        colour covers more than half of its area.

        Args:
            labels: the right labels, a float array (scenes, rows, columns, LABELS).
            outputs: predicted logits and boxes, an array of the same shape.

        Returns:
            A dict with the keys "shape_accuracy" and "colour_accuracy", the shares of regions that are right, 0 to 1.
        """
        (shapes, colours, _), (shape_logits, colour_logits, _) = _split(labels), _split(outputs)
        figures = {}
        for name, shares, logits in (("shape", shapes, shape_logits), ("colour", colours, colour_logits)):
            clear = shares[..., 1:].max(axis=-1) > 0.5
            figures[f"{name}_accuracy"] = float((shares.argmax(-1) == logits.argmax(-1))[clear].mean())
        return figures


def _split(labels):
    """Split labels or predictions, a tensor (…, LABELS), along the last axis into (shapes, colours, boxes)."""
    ends = SHAPE_LABELS, SHAPE_LABELS + COLOUR_LABELS
    return labels[..., : ends[0]], labels[..., ends[0] : ends[1]], labels[..., ends[1] :]
