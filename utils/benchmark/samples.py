"""What is measured on where no dataset is at hand: drawn photos, drawn captions, drawn regions."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from utils.data.images import find_photos, open_photo
from utils.data.tokenizer import SPECIAL_WORDS, Tokenizer
from utils.errors import ImageError, InputError

# Of Flickr8k: pixels of most photos, captions a photo, words a caption and their deviation.
PHOTO_SIZE = (500, 375)
WORDS, WORDS_DEVIATION = 10.8, 3.7


def draw_photos(folder, count):
    """Coloured blots under noise, as JPEG files of a photo's size in bytes."""
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
    """`count` readable photo files that a path names, in turns if there are fewer.

    Raises:
        InputError: there is none.
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
    """Photos, each with drawn captions whose lengths are those of Flickr8k's."""
    generator, photos = np.random.default_rng(0), []
    words = tokenizer.words[len(SPECIAL_WORDS) :]
    for number, path in enumerate(paths):
        lengths = np.clip(np.rint(generator.normal(WORDS, WORDS_DEVIATION, captions)), 2, 37).astype(int)
        references = tuple(" ".join(generator.choice(words, length)) for length in lengths)
        photos.append(SimpleNamespace(id=str(number), path=path, references=references))
    return photos


def draw_tokenizer(vocabulary):
    """A Tokenizer of so many words, the special ones included."""
    return Tokenizer([*SPECIAL_WORDS, *(f"word{number}" for number in range(vocabulary - len(SPECIAL_WORDS)))])


class DrawnRegions:
    """In place of an Encoder for a RegionCache: rectified normal values, most of them zero as an encoder's are.

    Args:
        regions: a photo.
        channels: of each.
    """

    name, image_size = "drawn", 32

    def __init__(self, regions, channels):
        self.count, self.channels = regions, channels
        self.fingerprint = hashlib.sha256(f"{regions} {channels}".encode()).hexdigest()
        self._generator = np.random.default_rng(0)

    def encode(self, pixels):
        """Float32 (photos, regions, channels); of the pixels only their number counts."""
        shape = (len(pixels), self.count, self.channels)
        return np.maximum(self._generator.normal(-0.8, 1, shape), 0).astype("float32")

    def describe(self):
        """What a cache says that it holds."""
        return {"encoder": self.name, "regions": [self.count, self.channels], "fingerprint": self.fingerprint}
