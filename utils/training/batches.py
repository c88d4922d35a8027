"""Training batches: photos, or their cached regions, with captions as numbers."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from utils.data.images import open_photo
from utils.data.tokenizer import END, PAD, START, split_words
from utils.errors import ImageError, InputError
from utils.features.cache import encode_files
from utils.runtime import backend
from utils.training.augmentation import augment


def caption_arrays(photos, tokenizer, captions_per_photo, max_words):
    """References as numbers for teacher forcing.

    Photos with more references give the first ones; those with fewer are
    filled up with captions of padding alone, which the loss ignores.

    Returns:
        Inputs, which begin with <start>, and targets, which end with <end>:
        int32 (photos, captions_per_photo, max_words + 1) each, filled with <pad>.
    """
    inputs = np.full((len(photos), captions_per_photo, max_words + 1), PAD, "int32")
    targets = inputs.copy()
    for row, photo in enumerate(photos):
        for column, reference in enumerate(photo.references[:captions_per_photo]):
            words = tokenizer.encode(reference)
            inputs[row, column, : len(words[:max_words]) + 1] = [START, *words[:max_words]]
            # A caption that is cut must not teach that it ends there.
            following = [*words, END][: max_words + 1]
            targets[row, column, : len(following)] = following
    return inputs, targets


class RegionSource:
    """Training on regions that were extracted before; the encoder stays as it is.

    Args:
        cache: a RegionCache that holds all photos.
    """

    encoder = None

    def __init__(self, cache):
        self.cache = cache

    def load(self, photos, generators):
        """What the model is trained on: float32 (photos, regions, channels)."""
        return self.cache.stack([photo.id for photo in photos])

    def regions(self, encoder, photos):
        """The same for validation; `encoder` is None."""
        return self.cache.stack([photo.id for photo in photos])


@cache
def sides_matter(references):
    """Whether captions tell left from right; asked of every photo in every epoch."""
    return any({"left", "right"} & set(split_words(text)) for text in references)


class PhotoSource:
    """Training on pixels, varied by chance, so that the encoder can learn too.

    Args:
        encoder: the Encoder that training starts from.
    """

    def __init__(self, encoder):
        self.encoder = encoder
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def load(self, photos, generators):
        """What the model is trained on: uint8 (photos, size, size, 3); each photo is varied by its own generator."""
        return np.stack(list(self._pool.map(self._vary, photos, generators)))

    def _vary(self, photo, generator):
        size = self.encoder.image_size
        photo, mirror = open_photo(photo.path, at_least=2 * size), not sides_matter(tuple(photo.references))
        return np.asarray(augment(photo, size, generator, mirror))

    def regions(self, encoder, photos):
        """Regions of whole, unvaried photos by `encoder`: float32 (photos, regions, channels)."""
        encoded = []
        for _, regions in encode_files(encoder, photos):
            if isinstance(regions, ImageError):
                raise regions
            encoded.append(regions)
        return np.stack(encoded)


class Batches:
    """Batches of photos whose order and variation depend on the seed and the epoch alone.

    Args:
        source: a RegionSource or PhotoSource.
        photos: the training photos.
        tokenizer, recipe: as trained with.
        seed: of order and variation.
    """

    def __init__(self, source, photos, tokenizer, recipe, seed):
        self.source, self.photos, self.seed, self.batch_size = source, photos, seed, recipe.batch_size
        self.arrays = caption_arrays(photos, tokenizer, recipe.captions_per_photo, recipe.max_words)
        self.steps_per_epoch = -(-len(photos) // recipe.batch_size)
        self._drawn = None, None
        self.error = None  # the InputError that a dataset ended with

    def _order(self, epoch):
        """The photos' numbers in the order of an epoch, which is drawn once, not at every step."""
        known, order = self._drawn
        if known != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
            self._drawn = epoch, order
        return order

    def batch(self, epoch, step, part=0, parts=1):
        """Regions or pixels, input words and targets of one of a step's equal `parts`, filled up with padding."""
        chosen = self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        generators = np.random.default_rng([self.seed, epoch, step]).spawn(len(chosen))
        size = -(-self.batch_size // parts)
        mine = slice(part * size, min((part + 1) * size, len(chosen)))
        if mine.start < mine.stop:
            loaded = self.source.load([self.photos[i] for i in chosen[mine]], generators[mine])
        else:  # A part of the last batch may be empty; a photo tells of what shape nothing is.
            loaded = self.source.load(self.photos[:1], generators[:1])[:0]
        inputs, targets = (array[chosen[mine]] for array in self.arrays)
        fill = size - len(loaded)
        return tuple(np.pad(a, [(0, fill)] + [(0, 0)] * (a.ndim - 1)) for a in (loaded, inputs, targets))

    def dataset(self, epoch, step, mine=(0,), parts=1):
        """All batches from a position on, epoch after epoch, without end, as what `Model.fit` takes.

        Of a batch's `parts`, those in `mine` come, one after the other.
        """

        def generate():
            try:
                for number in itertools.count(epoch * self.steps_per_epoch + step):
                    for part in mine:
                        loaded, inputs, targets = self.batch(*divmod(number, self.steps_per_epoch), part, parts)
                        yield (loaded, inputs), targets
            except InputError as error:
                self.error = error
                raise

        return backend.stream(generate)
