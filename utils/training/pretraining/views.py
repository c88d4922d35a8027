"""Chance views of whole batches of photos, made where the network works; so a fast device need not wait for them."""

import numpy as np
from keras import ops

# What a view of a photo, of those that may be seen in part, shows of its area at least.
_LEAST_AREA = 0.3

# Brightness, contrast and saturation change by up to this share.
_COLOUR_CHANGE = 0.3

# The box of all that a photo shows.
WHOLE = np.array([0, 0, 1, 1], "float32")

# How much each channel adds to what is grey of a colour, as Pillow has it.
_GREY = np.array([0.299, 0.587, 0.114], "float32")


def draw_views(generator, count):
    """Chance parameters of views, for `view`.

    Half the photos are mixed with another one: Zhang et al., "mixup", 2018; a
    student that is patiently shown such by its teacher learns the more of few
    photos: Beyer et al., "Knowledge distillation: a good teacher is patient and
    consistent", 2022, section 3.

    Args:
        generator: a NumPy random generator.
        count: of photos.

    Returns:
        Float32 arrays: boxes (count, 4), left, top, right, bottom as shares of
        the photo, with left and right exchanged where it is mirrored; changes
        of brightness, contrast and saturation (count, 3), factors; and the
        share (count,) that the photo before has in each.
    """
    area = generator.uniform(_LEAST_AREA, 1, count)
    aspect = np.exp(generator.uniform(-0.3, 0.3, count))
    sides = np.minimum(1, np.sqrt(area[:, None] * np.stack([aspect, 1 / aspect], axis=1)))
    corner = generator.uniform(size=(count, 2)) * (1 - sides)
    boxes = np.concatenate([corner, corner + sides], axis=1)
    mirrored = generator.random(count) < 0.5
    boxes[mirrored] = boxes[mirrored][:, [2, 1, 0, 3]]
    light = generator.uniform(1 - _COLOUR_CHANGE, 1 + _COLOUR_CHANGE, (count, 3))
    shares = np.where(generator.random(count) < 0.5, generator.uniform(0, 0.5, count), 0)
    return tuple(array.astype("float32") for array in (boxes, light, shares))


def whole_views(count):
    """The parameters of views that show photos as they are."""
    return np.tile(WHOLE, (count, 1)), np.ones((count, 3), "float32"), np.zeros(count, "float32")


def view(photos, boxes, light, shares, size):
    """Views of photos, float32 (batch, size, size, 3), 0 to 255.

    Args:
        photos: (batch, rows, columns, 3), 0 to 255.
        boxes, light, shares: of `draw_views`.
        size: side of the views in pixels.
    """
    views = resample(photos, boxes, size)
    brightness, contrast, saturation = (light[:, i, None, None, None] for i in range(3))
    views = views * brightness
    grey = ops.sum(views * _GREY, axis=-1, keepdims=True)
    mean = ops.mean(grey, axis=(1, 2), keepdims=True)
    views = mean + (views - mean) * contrast
    grey = mean + (grey - mean) * contrast
    views = ops.clip(grey + (views - grey) * saturation, 0, 255)
    shares = shares[:, None, None, None]
    return (1 - shares) * views + shares * ops.roll(views, 1, axis=0)


def resample(photos, boxes, size):
    """What boxes of photos show, float32 (batch, size, size, 3), with a triangle filter as Pillow's "bilinear".

    Args:
        photos: (batch, rows, columns, 3).
        boxes: (batch, 4), of `draw_views`.
        size: side of the result in pixels.
    """
    photos = ops.cast(photos, "float32")
    left, top, right, bottom = (boxes[:, i, None] for i in range(4))
    down = _weights(top, bottom, photos.shape[1], size)
    across = _weights(left, right, photos.shape[2], size)
    rows = ops.einsum("byh,bhwc->bywc", down, photos)
    return ops.einsum("bxw,bywc->byxc", across, rows)


def _weights(start, end, length, size):
    """What each of `length` pixels in a row adds to each of `size`: (batch, size, length)."""
    steps = (ops.arange(size, dtype="float32") + 0.5) / size
    centres = (start + (end - start) * steps) * length - 0.5
    # Pixels that lie closer together than in the result are averaged.
    width = ops.maximum(ops.abs(end - start) * (length / size), 1.0)[..., None]
    distances = ops.abs(centres[..., None] - ops.arange(length, dtype="float32"))
    weights = ops.maximum(1 - distances / width, 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
