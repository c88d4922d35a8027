"""Define the tasks whose work grows with the number of photos. The module `growth` measures them on artificial photos.

The tasks do the work of train.py and evaluate.py. The encoder is replaced by DrawnRegions, which returns few random
regions, because the time of a real encoder per photo does not depend on the number of photos.
"""

import csv
import os
from pathlib import Path

import numpy as np
from PIL import Image

from utils import console
from utils.benchmark.samples import WORDS, WORDS_DEVIATION, DrawnRegions, draw_tokenizer
from utils.data.datasets import load_dataset
from utils.data.tokenizer import Tokenizer
from utils.evaluation import bootstrap, diversity, metrics
from utils.features.cache import RegionCache

_SIDE, _CHANNELS = 7, 32

# Number of different photo files. All further photos are hard links to these files.
_FILES = 64

# Captions per photo, number of words of the artificial language, and photos per batch of the search.
_CAPTIONS, _LANGUAGE, _TOGETHER = 5, 20_000, 50


def draw(folder, count, sizes):
    """Write a dataset of `count` artificial photos (random pixels) with random captions.

    The dataset is in the subfolder `data` of `folder`. Returns `folder` as a Path. `sizes` is not used here; the
    function of the same name in `growth_words` needs it.
    """
    folder = Path(folder)
    photos = folder / "data" / "photos"
    photos.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        path = photos / f"{number}.jpg"
        if number < _FILES:
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), "uint8")).save(path)
        else:
            os.link(photos / f"{number % _FILES}.jpg", path)
    with open(folder / "data" / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "caption", "split"))
        for number in range(count):
            writer.writerows((f"{number}.jpg", text, "train") for text in draw_captions(generator, _CAPTIONS))
    return folder


def draw_captions(generator, count):
    """Make a list of `count` random captions, strings, with a NumPy random generator.

    As in a natural language, the frequency of the nth most frequent word is proportional to 1/n.
    """
    lengths = np.clip(np.rint(generator.normal(WORDS, WORDS_DEVIATION, count)), 2, 37).astype(int)
    numbers = (_LANGUAGE ** generator.random(lengths.sum())).astype(int)
    return [" ".join(_word(n) for n in part) for part in np.split(numbers, np.cumsum(lengths)[:-1])]


def _word(number):
    """Return an artificial word for a number: the number to the base 26, with letters as digits."""
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters += chr(97 + digit)
    return letters


def _photos(folder):
    return load_dataset("custom", folder / "data").photos


def _cache(folder):
    return RegionCache(folder / "cache", "custom", DrawnRegions(_SIDE * _SIDE, _CHANNELS))


def _read_table(sizes, folder, count):
    yield
    yield
    _photos(folder)


def _learn_words(sizes, folder, count):
    yield
    photos = _photos(folder)
    yield
    Tokenizer.fit((text for photo in photos for text in photo.references), sizes.recipe.min_word_count)


def _fill(sizes, folder, count):
    yield
    photos = _photos(folder)
    yield
    cache = _cache(folder)
    cache.fill(photos)
    return cache.bytes_per_photo() * len(cache)


def _open(sizes, folder, count):
    yield
    photos = _photos(folder)
    yield
    _cache(folder).plan(photos)


def _read_batches(sizes, folder, count):
    console.import_keras()
    from utils.training.batches import Batches, RegionSource

    yield
    photos, cache = _photos(folder), _cache(folder)
    tokenizer = Tokenizer.fit((text for photo in photos for text in photo.references), sizes.recipe.min_word_count)
    yield
    batches = Batches(RegionSource(cache), photos, tokenizer, sizes.recipe, seed=0)
    for step in range(batches.steps_per_epoch):
        batches.batch(0, step)


def _write_captions(sizes, folder, count):
    console.import_keras()
    from utils.captioner import Captioner
    from utils.model.decoder import AttentionDecoder

    yield
    photos, cache, tokenizer = _photos(folder), _cache(folder), draw_tokenizer(100)
    decoder = AttentionDecoder(len(tokenizer), units=8, attention_units=8, embedding_size=8)
    decoder.build((None, _SIDE * _SIDE, _CHANNELS))
    encoder = cache.encoder
    encoder.rows = encoder.columns = _SIDE
    captioner, captions = Captioner(encoder, tokenizer, decoder, sizes.recipe.max_words, "custom", {}), []
    yield
    for start in range(0, count, _TOGETHER):
        batch = photos[start : start + _TOGETHER]
        regions = cache.stack([photo.id for photo in batch])
        captions += captioner.caption_regions([photo.path for photo in batch], regions, 3, _TOGETHER)


def _score(sizes, folder, count):
    yield
    references = {photo.id: list(photo.references) for photo in _photos(folder)}
    captions = dict(zip(references, draw_captions(np.random.default_rng(1), count)))
    yield
    scores = metrics.score(references, captions, ("Bleu", "ROUGE_L", "CIDEr"))
    bootstrap.intervals(scores)
    diversity.describe(list(captions.values()))


# A dict from name to task.
TASKS = {
    "reading the table": _read_table,
    "learning the vocabulary": _learn_words,
    "filling the cache": _fill,
    "opening the full cache": _open,
    "an epoch's batches": _read_batches,
    "keeping captions and maps": _write_captions,
    "scores and intervals": _score,
}

# A dict from the name of a task to the largest number of photos at which it is measured. Only validation and test
# photos are captioned and scored, and every dataset has few of them.
MOST = {"keeping captions and maps": 31_000, "scores and intervals": 31_000}
