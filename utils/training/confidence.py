"""Fits how sure a model's captions are, on photos whose captions by people stand in for a judge."""

import numpy as np

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.errors import InputError
from utils.evaluation import metrics
from utils.evaluation.confidence_quality import is_right
from utils.features.cache import RegionCache
from utils.features.extraction import cache_regions
from utils.model.confidence import Confidence, features
from utils.model.sentences import best_first, fault
from utils.progress import silent
from utils.training.recipes import Recipe

# Fewer photos tell nothing.
_LEAST_PHOTOS = 50

# Pictures of nothing that are added, all captions of which are wrong: photos like those of training show none.
_EMPTY = 30

_BATCH_PHOTOS = 16


def describe(captioner, batches, beam_size):
    """Captions and the features of `utils.model.confidence` for each: (texts, float (photos, features)).

    Args:
        captioner: a Captioner with a consensus.
        batches: regions of 16 photos or fewer each, (photos, regions, channels).
        beam_size: hypotheses kept.
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


def training_rows(captioner, photos, cache_dir, beam_size=3, seed=0, say=lambda line: None, progress=silent):
    """What a Confidence is fitted on: captions of photos and of pictures of nothing.

    Args:
        captioner: a Captioner with a consensus.
        photos: Photos with references that took no part in training, as those of `val`.
        cache_dir: folder of the region caches.
        beam_size: hypotheses kept.
        seed: of the pictures of nothing.
        say: called with lines for a person.
        progress: called as tqdm is.

    Returns:
        Features (captions, features), and whether each caption is right; the photos come first.
    """
    cache = RegionCache(cache_dir, captioner.dataset, captioner.encoder)
    photos = cache_regions(cache, {"val": photos}, say, progress)["val"]
    batches = [photos[start : start + _BATCH_PHOTOS] for start in range(0, len(photos), _BATCH_PHOTOS)]
    texts, rows = describe(captioner, (cache.stack([photo.id for photo in batch]) for batch in batches), beam_size)
    references = {photo.id: list(photo.references) for photo in photos}
    cider = metrics.score(references, {photo.id: text for photo, text in zip(photos, texts)}, ("CIDEr",)).images[
        "CIDEr"
    ]

    generator, size = np.random.default_rng(seed), captioner.encoder.image_size
    empty = [generator.integers(0, 256, (size, size, 3), "uint8") for _ in range(_EMPTY // 2)]
    empty += [np.full((size, size, 3), generator.integers(0, 256, 3), "uint8") for _ in range(_EMPTY // 2)]
    parts = (np.stack(empty[start : start + _BATCH_PHOTOS]) for start in range(0, _EMPTY, _BATCH_PHOTOS))
    _, nothing = describe(captioner, (np.asarray(captioner.encoder.encode(part)) for part in parts), beam_size)
    return np.concatenate([rows, nothing]), np.concatenate([is_right(cider), np.zeros(_EMPTY, bool)])


def fit_confidence(captioner, folder, photos, cache_dir, say=lambda line: None, progress=silent):
    """Fit the confidence of a model folder's captioner and write it there; needs a consensus and 50 photos.

    Args:
        captioner: the Captioner of the folder; its `confidence` is set, to None if there is too little to fit it on.
        folder: the model folder.
        photos: as for `training_rows`; those without references are left out.
        cache_dir: folder of the region caches.
        say: called with lines for a person.
        progress: called as tqdm is.
    """
    photos = [photo for photo in photos if photo.references]
    captioner.confidence = None
    if captioner.consensus and len(photos) >= _LEAST_PHOTOS:
        beam_size = captioner.training.get("beam_size", Recipe.beam_size)
        rows, right = training_rows(captioner, photos, cache_dir, beam_size, say=say, progress=progress)
        captioner.confidence = Confidence.fit(rows, right)
        say(f"confidence: {captioner.confidence(rows[:-_EMPTY]).mean():.2f} in the mean of val")
    else:
        say(f"captions have no confidence: it takes a consensus and {_LEAST_PHOTOS} photos in val")
    captioner.save_confidence(folder)


def add_confidence(
    dataset, data_dir, cache_dir, folder, encoder_weights=None, seed=0, say=lambda line: None, progress=silent
):
    """Fit the confidence of a model folder anew, on its dataset's val split; all else in the folder stays as it is.

    Args:
        dataset, data_dir: as for `load_dataset`, with the photos of `val` that its training held out.
        cache_dir: folder of the region caches.
        folder: the model folder.
        encoder_weights: as for `Captioner.from_folder`.
        seed: of the scenes of `shapes`.
        say: called with lines for a person.
        progress: called as tqdm is.

    Raises:
        InputError: no model there, one of another dataset, or one without a consensus.
    """
    captioner = Captioner.from_folder(folder, encoder_weights)
    if captioner.dataset != dataset:
        raise InputError(f"{folder}: was trained on --dataset {captioner.dataset.replace('+', ' ')}; name the same")
    if not captioner.consensus:
        raise InputError(f"{folder}: has no consensus, which confidence reads; run train.py --consensus_only first")
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    fit_confidence(captioner, folder, table.split("val"), cache_dir, say, progress)
