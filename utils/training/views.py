"""Varied views of the training photos, taken through an encoder's frozen lower layers once.

Fine-tuning then computes the upper layers alone: for VGG16 above `block4_pool` a sixth of the work of a step on pixels.
"""

import zlib
from collections import namedtuple

import numpy as np

from utils.data.images import open_photo, to_pixels
from utils.features.cache import RegionCache
from utils.training.augmentation import augment
from utils.training.batches import sides_matter

# A view of a photo: the photo as it is (0), its mirror image (1), random crops of other light (2, 3, …).
View = namedtuple("View", "id path number mirror")


def view_of(photo, number):
    """A View of a Photo."""
    return View(f"{photo.id}#{number}", photo.path, number, not sides_matter(tuple(photo.references)))


def load_view(view, size):
    """The pixels of a View, uint8 (size, size, 3); the same at every call."""
    photo = open_photo(view.path, at_least=2 * size)
    if view.number < 2:
        pixels = to_pixels(photo, size)
        return pixels[:, ::-1] if view.number else pixels
    generator = np.random.default_rng([view.number, zlib.crc32(view.id.encode())])
    return np.asarray(augment(photo, size, generator, view.mirror))


def open_views(cache_dir, dataset, encoder, layer):
    """A RegionCache of views by the layers of an Encoder up to `layer`."""
    return RegionCache(cache_dir, dataset, encoder.below(layer), load_view)


class ViewSource:
    """Training on cached views; an encoder's layers above theirs may be trained.

    Args:
        encoder: the Encoder that training starts from.
        cache: a RegionCache of `open_views`: views 0 and 1 of all photos, all views of the training photos.
        count: views of a training photo, 2 or more.
    """

    def __init__(self, encoder, cache, count):
        self.encoder = encoder.copy(mirror=True, above=cache.encoder.layer)
        self.cache, self.count = cache, count

    def load(self, photos, generators):
        """Inputs of training, float32 (photos, regions, channels of the frozen layers): a random view of each photo."""
        return self.cache.stack([self._choose(*each).id for each in zip(photos, generators)])

    def _choose(self, photo, generator):
        view = view_of(photo, int(generator.integers(self.count)))
        return view if view.mirror or view.number != 1 else view_of(photo, 0)

    def regions(self, encoder, photos):
        """Regions of whole photos by `encoder`, float32 (photos, regions, channels): means with the mirror image's."""
        photo, mirrored = (
            np.reshape(
                encoder.encode(self.cache.stack([view_of(photo, number).id for photo in photos])),
                (len(photos), encoder.rows, encoder.columns, -1),
            )
            for number in (0, 1)
        )
        return ((photo + mirrored[:, :, ::-1]) / 2).reshape(len(photos), encoder.rows * encoder.columns, -1)
