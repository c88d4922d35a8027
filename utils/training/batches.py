"""Make training batches: photos, or their cached regions, with captions as word numbers."""

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
    """Convert the references of photos (captions by people) to word numbers for teacher forcing.

    If a photo has more than `captions_per_photo` references, only the first ones are used. If it has fewer, the missing
    captions are filled with padding, which the loss ignores.

    Args:
        photos: a list of Photo.
        tokenizer: a Tokenizer, which converts words to numbers.
        captions_per_photo: number of captions for each photo.
        max_words: largest number of words; longer captions are cut.

    Returns:
        (inputs, targets), both int32 (photos, captions_per_photo, max_words + 1), padded with <pad>. Inputs begin with
        <start>. Targets end with <end>, except those of captions that are cut.
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
    """Read the training inputs, regions of photos, from the cache. This is for training with a frozen encoder.

    Args:
        cache: a RegionCache that has the regions of all photos.
    """

    encoder = None

    def __init__(self, cache):
        self.cache = cache

    def load(self, photos, generators):
        """Read the regions of training photos, a list of Photo, from the cache: float32 (photos, regions, channels).

        `generators` is not used, because cached regions have no random variations.
        """
        return self.cache.stack([photo.id for photo in photos])

    def regions(self, encoder, photos):
        """Read the regions of validation photos, a list of Photo, from the cache: float32 (photos, regions, channels).

        `encoder` is not used here. The method `regions` of PhotoSource and ViewSource uses it.
        """
        return self.cache.stack([photo.id for photo in photos])


@cache
def sides_matter(references):
    """Return True if one of a photo's captions mentions left or right, so that the photo must not be mirrored.

    The result is cached, because every epoch needs it again. `references` is a tuple of strings.
    """
    return any({"left", "right"} & set(split_words(text)) for text in references)


class PhotoSource:
    """Make training inputs from photos: pixels with random variations. So the encoder can be trained, too.

    Args:
        encoder: Encoder with which training starts.
    """

    def __init__(self, encoder):
        self.encoder = encoder
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def load(self, photos, generators):
        """Open training photos, and crop, mirror and recolour each at random.

        Args:
            photos: a list of Photo.
            generators: a list with a NumPy random generator for each photo.

        Returns:
            Pixels, uint8 (photos, size, size, 3), where `size` is the encoder's image size.
        """
        return np.stack(list(self._pool.map(self._vary, photos, generators)))

    def _vary(self, photo, generator):
        size = self.encoder.image_size
        photo, mirror = open_photo(photo.path, at_least=2 * size), not sides_matter(tuple(photo.references))
        return np.asarray(augment(photo, size, generator, mirror))

    def regions(self, encoder, photos):
        """Compute the regions of validation photos, without random variations.

        Args:
            encoder: an Encoder.
            photos: a list of Photo.

        Returns:
            Regions, float32 (photos, regions, channels).

        Raises:
            ImageError: a photo cannot be read.
        """
        encoded = []
        for _, regions in encode_files(encoder, photos):
            if isinstance(regions, ImageError):
                raise regions
            encoded.append(regions)
        return np.stack(encoded)


class Batches:
    """Make the training batches of all epochs.

    In an epoch each photo occurs once. If that gives fewer steps than the recipe's `least_epoch_steps`, each photo
    occurs several times: the attribute `repeats` is this number. The order and the variations of the photos depend only
    on `seed`, epoch and step. So a resumed run gets the same batches as an uninterrupted one.

    Args:
        source: RegionSource, PhotoSource or ViewSource, which loads regions or pixels of photos.
        photos: training photos, a list of Photo.
        tokenizer: Tokenizer of the captions.
        recipe: a Recipe, the training settings, such as the batch size.
        seed: random seed of the order and the variations.
    """

    def __init__(self, source, photos, tokenizer, recipe, seed):
        self.source, self.photos, self.seed, self.batch_size = source, photos, seed, recipe.batch_size
        self.arrays = caption_arrays(photos, tokenizer, recipe.captions_per_photo, recipe.max_words)
        # The smallest number with ceil(repeats · photos / batch_size) >= least_epoch_steps.
        self.repeats = max(1, (recipe.least_epoch_steps - 1) * recipe.batch_size // len(photos) + 1)
        self.steps_per_epoch = -(-self.repeats * len(photos) // recipe.batch_size)
        self._known_order = None, None
        self.error = None  # the InputError that ended a dataset

    def _order(self, epoch):
        """Return the indices of the photos in the random order of an epoch: int (repeats · photos,).

        `epoch` counts from 0.

        The last result is kept, because every step of an epoch needs it.
        """
        known, order = self._known_order
        if known != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            order = np.concatenate([generator.permutation(len(self.photos)) for _ in range(self.repeats)])
            self._known_order = epoch, order
        return order

    def batch(self, epoch, step, part=0, parts=1):
        """Load one batch, or the part of it that one device trains on.

        The last batch of an epoch may have too few photos. Zeros fill it up, so that all batches, and all parts of a
        batch, have the same size.

        Args:
            epoch: number of the epoch, from 0.
            step: number of the batch within the epoch, from 0.
            part: index of the part, from 0.
            parts: number of equal parts into which the batch is divided.

        Returns:
            (training inputs, input words, target words). The training inputs are regions or pixels of the photos. The
            words are word numbers, int32 (photos, captions, length). Input words begin with <start>. Target words end
            with <end>, except those of captions that are cut.
        """
        chosen = self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        generators = np.random.default_rng([self.seed, epoch, step]).spawn(len(chosen))
        size = -(-self.batch_size // parts)
        mine = slice(part * size, min((part + 1) * size, len(chosen)))
        if mine.start < mine.stop:
            loaded = self.source.load([self.photos[i] for i in chosen[mine]], generators[mine])
        else:  # A part of the last batch may be empty. One photo is loaded to learn the shape of the empty array.
            loaded = self.source.load(self.photos[:1], generators[:1])[:0]
        inputs, targets = (array[chosen[mine]] for array in self.arrays)
        fill = size - len(loaded)
        return tuple(np.pad(a, [(0, fill)] + [(0, 0)] * (a.ndim - 1)) for a in (loaded, inputs, targets))

    def dataset(self, epoch, step, mine=(0,), parts=1):
        """Make an endless dataset for `Model.fit`: all batches from a given step on, epoch after epoch.

        Args:
            epoch, step: epoch, and step within the epoch, of the first batch; both count from 0.
            mine: with several devices, each batch is split into equal parts. These are the indices of the parts that
                this process trains on.
            parts: number of parts of each batch; 1 for a single device.

        Returns:
            An object that `Model.fit` accepts. Each item is one part of a batch: ((training inputs, input words),
            target words).
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
