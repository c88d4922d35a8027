"""Fit a model's Confidence, a regression that computes the probability that a caption is right.

In the data on which it is fitted, CIDEr decides which captions are right.
"""

import numpy as np

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.images import to_pixels
from utils.data.shapes import draw_scene
from utils.errors import InputError
from utils.evaluation import metrics
from utils.evaluation.confidence_quality import is_right
from utils.features.cache import RegionCache
from utils.features.extraction import cache_regions
from utils.model.caption_faults import best_first, fault
from utils.model.confidence import Confidence, features
from utils.progress import QUIET

# Fewer photos do not suffice to fit a confidence.
_LEAST_PHOTOS = 50

# Number of pictures, half of them drawn scenes and half without content, that are added to the photos. All captions of
# them are wrong. The photos of a dataset include no such pictures.
_PICTURES = 60

_BATCH_PHOTOS = 16


def describe(captioner, batches, beam_size):
    """Write the best caption of each photo, and describe it by numbers from which its confidence can be computed.

    Args:
        captioner: a Captioner that has a Consensus.
        batches: iterable of region arrays, each float (photos, regions, channels) with up to 16 photos.
        beam_size: number of hypotheses that beam search keeps.

    Returns:
        (captions, features). The captions are a list of strings, one for each photo. The features are those of
        `utils.model.confidence.features`, float (captions, features).
    """
    search, texts, rows = captioner.search(beam_size, _BATCH_PHOTOS), [], []
    for regions in batches:
        found = search(regions)
        for numbers, own in zip(found.words, features(found)):
            captions = [captioner.tokenizer.decode(each) for each in numbers]
            best = best_first([fault(words) for words in captions])[0]
            texts.append(" ".join(captions[best]))
            rows.append(own[best])
    return texts, np.array(rows)


def training_data(captioner, photos, cache_dir, beam_size=5, seed=0, reporter=QUIET):
    """Make the data on which a Confidence is fitted: captions that are described by numbers, and judged right or wrong.

    The captioner captions the photos and 60 pictures that are no photos: noise, single colours and drawn scenes. A
    caption of a photo counts as right if its CIDEr is above .1. The captions of the pictures count as wrong.

    Args:
        captioner: a Captioner that has a Consensus.
        photos: a list of Photo with captions by people. The model must not have been trained on them.
        cache_dir: folder of the caches that store the encoder's outputs.
        beam_size: number of hypotheses that beam search keeps.
        seed: random seed of the pictures.
        reporter: a Reporter, which shows lines and progress bars.

    Returns:
        (features, right). The features are those of `utils.model.confidence.features`, float (captions, features).
        `right` is True for each caption that is right, bool (captions,). The captions of the pictures come last.
    """
    cache = RegionCache(cache_dir, captioner.dataset, captioner.encoder)
    photos = cache_regions(cache, {"val": photos}, reporter)["val"]
    batches = [photos[start : start + _BATCH_PHOTOS] for start in range(0, len(photos), _BATCH_PHOTOS)]
    texts, rows = describe(captioner, (cache.stack([photo.id for photo in batch]) for batch in batches), beam_size)
    references = {photo.id: list(photo.references) for photo in photos}
    cider = metrics.score(references, {photo.id: text for photo, text in zip(photos, texts)}, ("CIDEr",)).images[
        "CIDEr"
    ]

    generator, size = np.random.default_rng(seed), captioner.encoder.image_size
    pictures = [generator.integers(0, 256, (size, size, 3), "uint8") for _ in range(_PICTURES // 4)]
    pictures += [np.full((size, size, 3), generator.integers(0, 256, 3), "uint8") for _ in range(_PICTURES // 4)]
    pictures += [to_pixels(draw_scene("train", generator)[2], size) for _ in range(_PICTURES // 2)]
    parts = (np.stack(pictures[start : start + _BATCH_PHOTOS]) for start in range(0, _PICTURES, _BATCH_PHOTOS))
    _, others = describe(captioner, (np.asarray(captioner.encoder.encode(part)) for part in parts), beam_size)
    return np.concatenate([rows, others]), np.concatenate([is_right(cider), np.zeros(_PICTURES, bool)])


def fit_confidence(captioner, folder, photos, cache_dir, reporter=QUIET):
    """Fit a Confidence, set it as `captioner.confidence`, and write it into the model folder.

    A Confidence computes the probability that a caption is right, from numbers that a Consensus computes. So
    `captioner.confidence` becomes None if the captioner has no Consensus. It also becomes None if fewer than 50 photos
    have references, that is, captions by people.

    Args:
        captioner: Captioner of the model in `folder`.
        folder: model folder.
        photos: a list of Photo on which the model was not trained. Photos without references are left out.
        cache_dir: folder of the caches that store the encoder's outputs.
        reporter: a Reporter, which shows lines and progress bars.
    """
    photos = [photo for photo in photos if photo.references]
    captioner.confidence = None
    if captioner.consensus and len(photos) >= _LEAST_PHOTOS:
        inputs, right = training_data(captioner, photos, cache_dir, reporter=reporter)
        captioner.confidence = Confidence.fit(inputs, right)
        reporter.say(f"confidence: mean over val {captioner.confidence(inputs[:-_PICTURES]).mean():.2f}")
    else:
        reporter.say(f"captions get no confidence: it needs a consensus and {_LEAST_PHOTOS} photos in val")
    captioner.save_confidence(folder)


def add_confidence(dataset, data_dir, cache_dir, folder, encoder_weights=None, seed=0, reporter=QUIET):
    """Fit the Confidence of an existing model on the `val` photos of its dataset and write it into the model folder.

    A Confidence computes the probability that a caption is right. Other files of the folder do not change.

    Args:
        dataset: name of the dataset. The model must not have been trained on its `val` photos.
        data_dir: folder of the dataset; for several datasets, a list of folders.
        cache_dir: folder of the caches that store the encoder's outputs.
        folder: model folder.
        encoder_weights: "imagenet", "random", or the path of a file with the encoder's weights. None: the weights that
            config.json in the model folder names.
        seed: random seed of the scenes of the dataset `shapes`.
        reporter: a Reporter, which shows lines and progress bars.

    Raises:
        InputError: the folder holds no model, a model of another dataset, or a model without a Consensus.
    """
    captioner = Captioner.from_folder(folder, encoder_weights)
    if captioner.dataset != dataset:
        raise InputError(f"{folder}: was trained on --dataset {captioner.dataset.replace('+', ' ')}; name the same")
    if not captioner.consensus:
        raise InputError(
            f"{folder}: has no consensus, which its confidence would depend on; run train.py --consensus_only first"
        )
    table = load_dataset(dataset, data_dir, seed)
    reporter.say(*table.notes)
    fit_confidence(captioner, folder, table.split("val"), cache_dir, reporter)
