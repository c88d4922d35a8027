"""Cached views: variations of each training photo, computed once through the frozen lower layers of an encoder.

Fine-tuning then computes the upper layers alone. For VGG16 above `block4_pool` that is a sixth of the work of a step on
pixels.
"""

import zlib
from collections import namedtuple

import numpy as np

from utils.data.images import open_photo, to_pixels
from utils.features.cache import BATCH_PHOTOS, RegionCache
from utils.progress import silent
from utils.training.augmentation import augment
from utils.training.batches import sides_matter

# A view of a photo: the photo itself (number 0), its mirror image (1), or a random crop with random light (2, 3, …).
View = namedtuple("View", "id path number mirror")


def view_of(photo, number):
    """The variation `number` of a Photo, as a View."""
    return View(f"{photo.id}#{number}", photo.path, number, not sides_matter(tuple(photo.references)))


def load_view(view, size):
    """The pixels of a View, uint8 (size, size, 3); equal at every call."""
    photo = open_photo(view.path, at_least=2 * size)
    if view.number < 2:
        pixels = to_pixels(photo, size)
        return pixels[:, ::-1] if view.number else pixels
    generator = np.random.default_rng([view.number, zlib.crc32(view.id.encode())])
    return np.asarray(augment(photo, size, generator, view.mirror))


def open_views(cache_dir, dataset, encoder, layer):
    """A RegionCache of views, by the layers of an Encoder up to `layer`."""
    return RegionCache(cache_dir, dataset, encoder.below(layer), load_view)


class ViewSource:
    """Training inputs from cached views; the encoder layers above the cached one may be trained.

    Args:
        encoder: the Encoder that training starts from.
        cache: a RegionCache of `open_views`, with views 0 and 1 of all photos and all views of the training photos.
        count: number of views per training photo, 2 or more.
    """

    def __init__(self, encoder, cache, count):
        self.encoder = encoder.copy(mirror=True, above=cache.encoder.layer)
        self.cache, self.count = cache, count

    def load(self, photos, generators):
        """Training inputs, one random view of each photo: float32 (photos, regions, channels of the cached layer).

        Args:
            photos: a list of Photo.
            generators: a NumPy random generator for each photo.
        """
        return self.cache.stack([self._choose(*each).id for each in zip(photos, generators)])

    def _choose(self, photo, generator):
        view = view_of(photo, int(generator.integers(self.count)))
        return view if view.mirror or view.number != 1 else view_of(photo, 0)

    def regions(self, encoder, photos):
        """Regions by `encoder`, float32 (photos, regions, channels): the mean of the photo's and its mirror image's."""
        photo, mirrored = (
            np.reshape(
                encoder.encode(self.cache.stack([view_of(photo, number).id for photo in photos])),
                (len(photos), encoder.rows, encoder.columns, -1),
            )
            for number in (0, 1)
        )
        return ((photo + mirrored[:, :, ::-1]) / 2).reshape(len(photos), encoder.rows * encoder.columns, -1)

    def means(self, photos, progress=silent):
        """Mean regions of whole photos by the encoder given at the start, float32 (photos, channels)."""
        batches = [photos[start : start + BATCH_PHOTOS] for start in range(0, len(photos), BATCH_PHOTOS)]
        bar = progress(batches, desc="mean regions", unit="batch", leave=False)
        return np.concatenate([self.regions(self.encoder, batch).mean(axis=1) for batch in bar])
