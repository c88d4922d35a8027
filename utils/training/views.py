"""Store views on disk: the outputs of an encoder's frozen lower layers for some variations of each photo.

Training then computes only the upper layers. For VGG16 above its layer `block4_pool`, a training step takes
3.7 billion multiply-adds per photo. A step that starts from pixels takes 17.7 billion.
"""

import zlib
from collections import namedtuple

import numpy as np

from utils.data.images import open_photo, to_pixels
from utils.features.cache import BATCH_PHOTOS, RegionCache
from utils.progress import silent
from utils.training.augmentation import augment
from utils.training.batches import sides_matter

# A view of a photo. `number` is 0 for the photo itself, 1 for its mirror image, and 2, 3, … for random crops in random
# light. `mirror` says whether the photo may be mirrored. `id` is the id of the view, and `path` is the photo file.
View = namedtuple("View", "id path number mirror")


def view_of(photo, number):
    """Make a View of a Photo, which describes one variation of it. `load_view` computes the pixels later.

    Args:
        photo: a Photo with captions. If none of them mentions left or right, random crops may be mirrored, and the View
            has `mirror=True`.
        number: which variation: 0 is the photo itself, 1 its mirror image, and 2, 3, … are random crops in random
            light.

    Returns:
        A View.
    """
    return View(f"{photo.id}#{number}", photo.path, number, not sides_matter(tuple(photo.references)))


def load_view(view, size):
    """Compute the pixels of a View, a variation of a photo: uint8 (size, size, 3), RGB.

    The pixels are the same at every call.
    """
    photo = open_photo(view.path, at_least=2 * size)
    if view.number < 2:
        pixels = to_pixels(photo, size)
        return pixels[:, ::-1] if view.number else pixels
    generator = np.random.default_rng([view.number, zlib.crc32(view.id.encode())])
    return np.asarray(augment(photo, size, generator, view.mirror))


def open_views(cache_dir, dataset, encoder, layer):
    """Open the cache of views, a folder with the outputs of a lower encoder layer for variations of photos.

    Args:
        cache_dir: folder of all caches.
        dataset: name of the dataset.
        encoder: an Encoder.
        layer: name of the layer of the encoder.

    Returns:
        A RegionCache. Its photos are Views.
    """
    return RegionCache(cache_dir, dataset, encoder.below(layer), load_view)


class ViewSource:
    """Read training inputs from the cache of views, the outputs of a lower encoder layer for variations of photos.

    This is for training the encoder layers above the cached layer.

    Args:
        encoder: Encoder with which training starts.
        cache: the cache of views, a RegionCache. It has all views of the training photos, and views 0 and 1 (the photo
            and its mirror image) of all other photos.
        count: number of views per training photo, 2 or more.
    """

    def __init__(self, encoder, cache, count):
        self.encoder = encoder.copy(mirror=True, above=cache.encoder.layer)
        self.cache, self.count = cache, count

    def load(self, photos, generators):
        """Read a random view (variation) of each training photo.

        Args:
            photos: a list of Photo.
            generators: a list with a NumPy random generator for each photo.

        Returns:
            Outputs of the cached layer, float32 (photos, regions, channels).
        """
        return self.cache.stack([self._choose(*each).id for each in zip(photos, generators)])

    def _choose(self, photo, generator):
        view = view_of(photo, int(generator.integers(self.count)))
        return view if view.mirror or view.number != 1 else view_of(photo, 0)

    def regions(self, encoder, photos):
        """Compute the regions of validation photos, without random variations.

        Args:
            encoder: Encoder of the upper layers. Its input is the output of the cached layer.
            photos: a list of Photo.

        Returns:
            Regions, float32 (photos, regions, channels). The photo and its mirror image are encoded. The regions of the
            mirror image are flipped back, and then the mean of both is taken.
        """
        photo, mirrored = (
            np.reshape(
                encoder.encode(self.cache.stack([view_of(photo, number).id for photo in photos])),
                (len(photos), encoder.rows, encoder.columns, -1),
            )
            for number in (0, 1)
        )
        return ((photo + mirrored[:, :, ::-1]) / 2).reshape(len(photos), encoder.rows * encoder.columns, -1)

    def means(self, photos, progress=silent):
        """Compute the mean of each photo's region vectors, with the encoder with which training starts.

        Args:
            photos: a list of Photo.
            progress: function that takes the arguments of `tqdm` and returns a progress bar.

        Returns:
            Float32 (photos, channels).
        """
        means = []
        with progress(total=len(photos), unit="photo", desc="mean regions", leave=False) as bar:
            for start in range(0, len(photos), BATCH_PHOTOS):
                batch = photos[start : start + BATCH_PHOTOS]
                means.append(self.regions(self.encoder, batch).mean(axis=1))
                bar.update(len(batch))
        return np.concatenate(means)
