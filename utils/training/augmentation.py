"""Chance variations of a training photo, so that a network that is trained on it learns what does not matter."""

import math

from PIL import Image, ImageEnhance

# Share of the photo's area that a crop keeps at least: captions tell of the
# whole photo, so most of it must stay in sight.
_LEAST_AREA = 0.6

# Brightness, contrast and saturation change by up to this share; more would
# make the captions' colours wrong.
_COLOUR_CHANGE = 0.2


def augment(photo, size, generator, mirror=True):
    """A random crop, perhaps mirrored, with other light: a PIL image of `size` × `size`.

    Random-resized crops as in Szegedy et al., "Going deeper with convolutions",
    2015, section 6, but milder.

    Args:
        photo: a PIL image, RGB.
        size: side of the result in pixels.
        generator: a NumPy random generator.
        mirror: whether it may be mirrored; not if left and right matter.
    """
    area, aspect = generator.uniform(_LEAST_AREA, 1), math.exp(generator.uniform(-0.2, 0.2))
    width = photo.width * min(1, math.sqrt(area * aspect))
    height = photo.height * min(1, math.sqrt(area / aspect))
    left, top = generator.uniform(0, photo.width - width), generator.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    photo = photo.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
    if mirror and generator.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = change(photo).enhance(generator.uniform(1 - _COLOUR_CHANGE, 1 + _COLOUR_CHANGE))
    return photo
