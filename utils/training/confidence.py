"""Fits how sure a model's captions are, on photos whose captions by people stand in for judges."""

import numpy as np
from PIL import Image, ImageFilter

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.images import open_photo, to_pixels
from utils.errors import ImageError, InputError
from utils.evaluation import metrics
from utils.evaluation.confidence_quality import chance_of_right
from utils.model.confidence import Confidence, features
from utils.progress import silent
from utils.training.recipes import Recipe

# Fewer photos tell nothing. Changed photos are added to them: so many of each kind for each photo.
_LEAST_PHOTOS, _CHANGED_SHARE = 50, 0.15

# Pictures of nothing that are added, with the chance that a caption of them is called right.
_EMPTY, _EMPTY_CHANCE = 30, 0.02

_BATCH_PHOTOS = 16


def _detail(image, generator):
    """A part of a fifth of the width and height."""
    width, height = image.size[0] // 5, image.size[1] // 5
    left, top = (int(generator.integers(0, 4 * side + 1)) for side in (width, height))
    return image.crop((left, top, left + max(width, 1), top + max(height, 1)))


def _tiles(image, generator):
    """Sixteen parts in random order."""
    parts = np.asarray(image.resize((224, 224))).reshape(4, 56, 4, 56, 3).swapaxes(1, 2).reshape(16, 56, 56, 3)
    parts = parts[generator.permutation(16)].reshape(4, 4, 56, 56, 3).swapaxes(1, 2)
    return Image.fromarray(parts.reshape(224, 224, 3))


def _noisy(image, generator):
    noise = Image.fromarray(generator.integers(0, 256, (224, 224, 3), "uint8"))
    return Image.blend(image.resize((224, 224)), noise, 0.6)


# Photos that the model is no good at, of which people's captions are known all the same.
_CHANGES = (
    _detail,
    _tiles,
    _noisy,
    lambda image, generator: image.filter(ImageFilter.GaussianBlur(max(image.size) / 37)),
    lambda image, generator: image.rotate(180),
)


def describe(captioner, pixels, beam_size):
    """Captions of photos and the features of `utils.model.confidence` for each: (texts, float (photos, features)).

    Args:
        captioner: a Captioner with a consensus.
        pixels: uint8 (photos, size, size, 3), an iterable.
        beam_size: hypotheses kept.
    """
    pixels, texts, rows = list(pixels), [], []
    search = captioner.search(beam_size)
    for start in range(0, len(pixels), _BATCH_PHOTOS):
        batch = np.stack(pixels[start : start + _BATCH_PHOTOS])
        regions = np.asarray(captioner.encoder.encode(batch), "float32")
        found = search(regions)
        known = features(captioner.consensus, regions, found.words, found.log_probabilities)
        for numbers, own in zip(found.words, known):
            best = captioner.order(numbers)[0]
            texts.append(" ".join(captioner.tokenizer.decode(numbers[best])))
            rows.append(own[best])
    return texts, np.array(rows)


def training_rows(captioner, photos, beam_size=3, seed=0, say=lambda line: None, progress=silent):
    """What a Confidence is fitted on.

    CIDEr tells how far a caption is right; changed photos and pictures of nothing show the fit what captions are like
    when the model is out of its depth, which photos like those of its training do not.

    Args:
        captioner: a Captioner with a consensus.
        photos: Photos with references that took no part in training, as `val`.
        beam_size: hypotheses kept.
        seed: of the changes.

    Returns:
        Features (captions, features), chances of being right (captions,), and for each caption the index of its photo
        (those of nothing have the number of photos).
    """
    size, generator = captioner.encoder.image_size, np.random.default_rng(seed)
    owners, pixels, places = [], [], []
    with progress(total=len(photos), unit="photo", desc="confidence") as bar:
        for place, photo in enumerate(photos):
            bar.update()
            try:
                image = open_photo(photo.path, at_least=2 * size)
            except ImageError as error:
                say(str(error))
                continue
            versions = [image]
            versions += [change(image, generator) for change in _CHANGES if generator.random() < _CHANGED_SHARE]
            pixels += [to_pixels(each, size) for each in versions]
            owners += [photo.id] * len(versions)
            places += [place] * len(versions)
        texts, rows = describe(captioner, pixels, beam_size)
    references = {photo.id: list(photo.references) for photo in photos}
    numbers = range(len(texts))
    scores = metrics.score({n: references[owners[n]] for n in numbers}, dict(zip(numbers, texts)), ("CIDEr",))
    empty = [generator.integers(0, 256, (size, size, 3), "uint8") for _ in range(_EMPTY // 2)]
    empty += [np.full((size, size, 3), generator.integers(0, 256, 3), "uint8") for _ in range(_EMPTY // 2)]
    _, nothing = describe(captioner, empty, beam_size)
    chances = np.r_[chance_of_right(scores.images["CIDEr"]), np.full(_EMPTY, _EMPTY_CHANCE)]
    return np.r_[rows, nothing], chances, np.r_[places, np.full(_EMPTY, len(photos))]


def fit_confidence(captioner, folder, photos, beam_size=3, say=lambda line: None, progress=silent):
    """Fit the confidence of a model folder's captioner and write it there; needs a consensus and 50 photos.

    Args:
        captioner: the Captioner of the folder; its `confidence` is set, to None if there is too little to fit it on.
        folder: the model folder.
        photos: as for `training_rows`.
        beam_size: hypotheses kept.
        say: called with lines for a person.
        progress: called as tqdm is.
    """
    photos = [photo for photo in photos if photo.references]
    captioner.confidence = None
    if captioner.consensus and len(photos) >= _LEAST_PHOTOS:
        rows, chances, places = training_rows(captioner, photos, beam_size, say=say, progress=progress)
        captioner.confidence = Confidence.fit(rows, chances)
        _, first = np.unique(places, return_index=True)
        sure = captioner.confidence(rows[first[: len(photos)]])
        say(f"confidence: mean {sure.mean():.2f} on val, from {sure.min():.2f} to {sure.max():.2f}")
    else:
        say(f"captions have no confidence: it takes a consensus and {_LEAST_PHOTOS} photos in val")
    captioner.save_confidence(folder)


def add_confidence(dataset, data_dir, folder, encoder_weights=None, seed=0, say=lambda line: None, progress=silent):
    """Fit the confidence of a model folder anew, on its dataset's val split; all else in the folder stays as it is.

    Args:
        dataset, data_dir: as for `load_dataset`, with the photos of `val` that its training held out.
        folder: the model folder.
        encoder_weights: as for `Captioner.from_folder`.
        seed: of the scenes of `shapes`.
        say: called with lines for a person.
        progress: called as tqdm is.

    Raises:
        InputError: no model there, or one without a consensus.
    """
    captioner = Captioner.from_folder(folder, encoder_weights)
    if not captioner.consensus:
        raise InputError(f"{folder}: has no consensus, which confidence reads; run train.py --consensus_only first")
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    beam_size = captioner.training.get("beam_size", Recipe.beam_size)
    fit_confidence(captioner, folder, table.split("val"), beam_size, say, progress)
