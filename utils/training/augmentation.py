"""Vary training photos at random, so that the network does not depend on crop, mirroring and light."""

import math

from PIL import Image, ImageEnhance

# Smallest share of the photo's area that a crop keeps. Captions describe the whole photo, so most of it must stay
# visible.
_LEAST_AREA = 0.6

# Largest relative change of brightness, contrast and saturation. Larger changes would make the colours in captions
# wrong.
_COLOUR_CHANGE = 0.2


def augment(photo, size, generator, mirror=True):
    """Crop a photo at random, mirror it half of the time, and change brightness, contrast and saturation.

    The random resized crop follows Szegedy et al., "Going deeper with convolutions", 2015, section 6. Here a crop
    keeps more of the photo than in that paper: at least 60 % of its area.

    Args:
        photo: PIL image, RGB.
        size: width and height of the result in pixels.
        generator: NumPy random generator.
        mirror: True if the result may be mirrored; False for photos whose captions mention left or right.

    Returns:
        PIL image, RGB, `size` × `size` pixels.
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
