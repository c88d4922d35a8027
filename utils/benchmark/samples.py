"""Data for measurements without a dataset: drawn photos, random captions and random regions."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from utils.data.images import find_photos, open_photo
from utils.data.tokenizer import SPECIAL_WORDS, Tokenizer
from utils.errors import ImageError, InputError

# Statistics of Flickr8k: size of most photos in pixels; mean and standard deviation of words per caption.
PHOTO_SIZE = (500, 375)
WORDS, WORDS_DEVIATION = 10.8, 3.7


def draw_photos(folder, count):
    """Write `count` JPEG files of coloured blots with noise, whose size in bytes is that of photos; returns their
    paths."""
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
    """`count` readable photo files; repeated in turn if the folder holds fewer.

    Args:
        photos: a photo or a folder.
        count: number of files.

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
    """Photo objects for files, each with random captions of Flickr8k's lengths."""
    generator, photos = np.random.default_rng(0), []
    words = tokenizer.words[len(SPECIAL_WORDS) :]
    for number, path in enumerate(paths):
        lengths = np.clip(np.rint(generator.normal(WORDS, WORDS_DEVIATION, captions)), 2, 37).astype(int)
        references = tuple(" ".join(generator.choice(words, length)) for length in lengths)
        photos.append(SimpleNamespace(id=str(number), path=path, references=references))
    return photos


def draw_tokenizer(vocabulary):
    """A Tokenizer with `vocabulary` words, special words included."""
    return Tokenizer([*SPECIAL_WORDS, *(f"word{number}" for number in range(vocabulary - len(SPECIAL_WORDS)))])


class DrawnRegions:
    """A stand-in for an Encoder in a RegionCache: rectified normal values, most of them zero as in an encoder.

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
        """Random regions, float32 (photos, regions, channels); of `pixels` only the number of photos is used."""
        shape = (len(pixels), self.count, self.channels)
        return np.maximum(self._generator.normal(-0.8, 1, shape), 0).astype("float32")

    def describe(self):
        """The description that a cache stores: a dict."""
        return {"encoder": self.name, "regions": [self.count, self.channels], "fingerprint": self.fingerprint}
