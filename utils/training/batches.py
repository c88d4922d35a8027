"""Training batches: photos, or their cached regions, with captions as word numbers."""

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
    """Captions as word numbers for teacher forcing.

    A photo with too many references gives its first ones. A photo with too few gets captions of padding alone, which
    the loss ignores.

    Args:
        photos: a list of Photo.
        tokenizer: a Tokenizer.
        captions_per_photo: number of captions for each photo.
        max_words: largest number of words; longer captions are cut.

    Returns:
        Inputs, which begin with <start>, and targets, which end with <end>: int32 (photos, captions_per_photo,
        max_words + 1) each, padded with <pad>.
    """
    inputs = np.full((len(photos), captions_per_photo, max_words + 1), PAD, "int32")
    targets = inputs.copy()
    for row, photo in enumerate(photos):
        for column, reference in enumerate(photo.references[:captions_per_photo]):
            words = tokenizer.encode(reference)
            inputs[row, column, : len(words[:max_words]) + 1] = [START, *words[:max_words]]
            # A caption that is cut gets no <end>: it must not teach that the sentence ends there.
            following = [*words, END][: max_words + 1]
            targets[row, column, : len(following)] = following
    return inputs, targets


class RegionSource:
    """Training inputs from the region cache; the encoder is not trained.

    Args:
        cache: a RegionCache that holds all photos.
    """

    encoder = None

    def __init__(self, cache):
        self.cache = cache

    def load(self, photos, generators):
        """Training inputs of photos, float32 (photos, regions, channels). `generators` are not used."""
        return self.cache.stack([photo.id for photo in photos])

    def regions(self, encoder, photos):
        """Regions for validation, float32 (photos, regions, channels). `encoder` is None."""
        return self.cache.stack([photo.id for photo in photos])


@cache
def sides_matter(references):
    """Whether one of the captions, a tuple of strings, mentions left or right. Cached: asked in every epoch."""
    return any({"left", "right"} & set(split_words(text)) for text in references)


class PhotoSource:
    """Training inputs from photos with random variations, so that the encoder can be trained too.

    Args:
        encoder: the Encoder that training starts from.
    """

    def __init__(self, encoder):
        self.encoder = encoder
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def load(self, photos, generators):
        """Training inputs of photos, uint8 (photos, size, size, 3).

        Args:
            photos: a list of Photo.
            generators: a NumPy random generator for each photo.
        """
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
    """Batches of photos in an order, and with variations, that depend on the seed and the epoch alone.

    Args:
        source: a RegionSource, PhotoSource or ViewSource.
        photos: training photos, a list of Photo.
        tokenizer: Tokenizer of the captions.
        recipe: a Recipe.
        seed: seed of order and variations.
    """

    def __init__(self, source, photos, tokenizer, recipe, seed):
        self.source, self.photos, self.seed, self.batch_size = source, photos, seed, recipe.batch_size
        self.arrays = caption_arrays(photos, tokenizer, recipe.captions_per_photo, recipe.max_words)
        self.steps_per_epoch = -(-len(photos) // recipe.batch_size)
        self._known_order = None, None
        self.error = None  # the InputError that ended a dataset

    def _order(self, epoch):
        """The photo numbers in the order of an epoch; computed once per epoch."""
        known, order = self._known_order
        if known != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
            self._known_order = epoch, order
        return order

    def batch(self, epoch, step, part=0, parts=1):
        """One batch, or one of its equal parts, padded to full size.

        Args:
            epoch, step: position of the batch, each from 0.
            part: number of the part, from 0.
            parts: number of parts, one for each device.

        Returns:
            Training inputs (regions or pixels), input words and target words, as `load` and `caption_arrays` return
            them.
        """
        chosen = self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        generators = np.random.default_rng([self.seed, epoch, step]).spawn(len(chosen))
        size = -(-self.batch_size // parts)
        mine = slice(part * size, min((part + 1) * size, len(chosen)))
        if mine.start < mine.stop:
            loaded = self.source.load([self.photos[i] for i in chosen[mine]], generators[mine])
        else:  # A part of the last batch may be empty; one photo is loaded for the shape of the empty array.
            loaded = self.source.load(self.photos[:1], generators[:1])[:0]
        inputs, targets = (array[chosen[mine]] for array in self.arrays)
        fill = size - len(loaded)
        return tuple(np.pad(a, [(0, fill)] + [(0, 0)] * (a.ndim - 1)) for a in (loaded, inputs, targets))

    def dataset(self, epoch, step, mine=(0,), parts=1):
        """An endless dataset for `Model.fit`: all batches from a position on, epoch after epoch.

        Args:
            epoch, step: position of the first batch.
            mine: numbers of the parts of every batch that the dataset yields, one after another.
            parts: number of parts of a batch.
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
