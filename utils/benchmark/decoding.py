"""Measure the speed of decoding: how fast captions are written from the regions of photos."""

from functools import partial

import numpy as np

from utils.benchmark import tutorial_baseline
from utils.benchmark.measurements import Measurement, rates, take_turns, timed
from utils.captioner import Captioner
from utils.features.cache import encode_files


def load(sizes, photos, count):
    """Load the model for decoding, and compute the regions of some photos.

    Args:
        sizes: a Sizes object, which has the model folder.
        photos: list of objects with `path`.
        count: number of photos to use, the first ones.

    Returns:
        (captioner, regions). The regions are float (photos, regions, channels).
    """
    captioner = Captioner.from_folder(sizes.model)
    captioner.consensus = None  # the search of the tutorial baseline has no consensus
    return captioner, np.stack([regions for _, regions in encode_files(captioner.encoder, photos[:count])])


def search_all(captioner, regions, beam_size, batch_size):
    """Find captions of photos with a Captioner's beam search. The caller measures the time; nothing is returned.

    `regions` is float (photos, regions, channels). `batch_size` photos are captioned together.
    """
    search = captioner.search(beam_size, batch_size)
    for start in range(0, len(regions), batch_size):
        search(regions[start : start + batch_size])


def predict_all(model, captioner, regions, beam_size):
    """Find captions of photos as tutorials program it (the baseline): one photo, one hypothesis, one word at a time.

    The caller measures the time; nothing is returned. `model` is a NextWord, which predicts the next word. `captioner`
    is a Captioner, which has the maximum number of words. `regions` is float (photos, regions, channels).
    """
    for photo in regions:
        tutorial_baseline.write_caption(model, photo, beam_size, captioner.max_words)


def measure(sizes, photos, progress):
    """Measure how many captions are written per second, for each beam size and batch size.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `id` and `path`.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Measurement.
    """
    captioner, regions = load(sizes, photos, max(*sizes.batches, sizes.captions_alone))
    model, alone = tutorial_baseline.NextWord(captioner.decoder), regions[: sizes.captions_alone]
    runs, counts = [], {}
    for beam in sizes.beams:
        for batch in sizes.batches:
            own = regions[: max(batch, sizes.captions_alone)]
            counts[beam, batch] = len(own)
            runs.append(timed((beam, batch), partial(search_all, captioner, own, beam, batch)))
        runs.append(timed((beam, "baseline"), partial(predict_all, model, captioner, alone, beam)))
    values = take_turns(runs, sizes, progress, "decoding")
    return [
        Measurement("decoding", f"beam {beam}, batches of {batch}", "captions/s", rates(count, values[beam, batch]),
               rates(len(alone), values[beam, "baseline"]))
        for (beam, batch), count in counts.items()
    ]  # fmt: skip
