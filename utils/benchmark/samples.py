"""Make data for measurements without a dataset: artificial photos, random captions and random regions."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from utils.data.images import open_photo
from utils.data.photo_files import find_photos
from utils.data.tokenizer import SPECIAL_WORDS, Tokenizer
from utils.errors import ImageError, InputError

# Statistics of Flickr8k: size of most photos in pixels, and mean and standard deviation of the words per caption.
PHOTO_SIZE = (500, 375)
WORDS, WORDS_DEVIATION = 10.8, 3.7


def draw_photos(folder, count):
    """Make `count` pictures of random colours, which replace photos in measurements, and write them as JPEG files.

    Returns a list of the paths of the files in `folder`.
    """
    paths = []
    for number in range(count):
        generator = np.random.default_rng(number)
        blots = Image.fromarray(generator.integers(0, 256, (9, 12, 3), "uint8"))
        pixels = np.asarray(blots.resize(PHOTO_SIZE, Image.Resampling.BICUBIC), "float32")
        grain = generator.normal(0, 12, (PHOTO_SIZE[1], PHOTO_SIZE[0], 1))
        paths.append(Path(folder) / f"{number}.jpg")
        Image.fromarray(np.clip(pixels + grain, 0, 255).astype("uint8")).save(paths[-1], quality=90)
    return paths


def take_photos(photos, count):
    """Find readable photos for measurements. If there are too few, they are used several times.

    Args:
        photos: a photo file or a folder of photos.
        count: number of photos.

    Returns:
        A list of `count` paths.

    Raises:
        InputError: no photo can be read.
    """
    readable, error = [], None
    for path in find_photos(photos):
        try:
            open_photo(path, at_least=1)
            readable.append(path)
        except ImageError as bad:
            error = bad
        if len(readable) == count:
            break
    if not readable:
        raise InputError(f"{photos}: no photo can be read; {error}")
    return [readable[number % len(readable)] for number in range(count)]


def with_captions(paths, captions, tokenizer):
    """Give photos random captions with the lengths of Flickr8k's captions.

    Args:
        paths: list of paths of photos.
        captions: number of captions for each photo.
        tokenizer: Tokenizer whose words are used.

    Returns:
        A list of objects with `id`, `path` and `references`.
    """
    generator, photos = np.random.default_rng(0), []
    words = tokenizer.words[len(SPECIAL_WORDS) :]
    for number, path in enumerate(paths):
        lengths = np.clip(np.rint(generator.normal(WORDS, WORDS_DEVIATION, captions)), 2, 37).astype(int)
        references = tuple(" ".join(generator.choice(words, length)) for length in lengths)
        photos.append(SimpleNamespace(id=str(number), path=path, references=references))
    return photos


def draw_tokenizer(vocabulary):
    """Make a Tokenizer with the artificial words "word0", "word1", …

    `vocabulary` is the number of words, including the special words.
    """
    return Tokenizer([*SPECIAL_WORDS, *(f"word{number}" for number in range(vocabulary - len(SPECIAL_WORDS)))])


class DrawnRegions:
    """Replace an Encoder in measurements: return random regions, in which most values are 0.

    Args:
        regions: number of regions per photo.
        channels: number of channels per region.
    """

    name, image_size = "drawn", 32

    def __init__(self, regions, channels):
        self.count, self.channels = regions, channels
        self.fingerprint = hashlib.sha256(f"{regions} {channels}".encode()).hexdigest()
        self._generator = np.random.default_rng(0)

    def encode(self, pixels):
        """Return random regions, float32 (photos, regions, channels), for an array of pixels (photos, …)."""
        shape = (len(pixels), self.count, self.channels)
        return np.maximum(self._generator.normal(-0.8, 1, shape), 0).astype("float32")

    def describe(self):
        """Return name, sizes and a hash of these random regions: a dict that the cache writes as JSON."""
        return {"encoder": self.name, "regions": [self.count, self.channels], "fingerprint": self.fingerprint}
