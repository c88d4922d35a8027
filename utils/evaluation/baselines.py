"""Baselines for scores: people, and the captions of similar training photos."""

from collections import Counter

import numpy as np

from utils.data.penn_treebank import tokenize
from utils.evaluation import metrics

# Number of neighbours whose captions are candidates, and number of photos per block of the search.
_NEIGHBOURS, _BLOCK = 10, 500


def human_scores(references, which=None):
    """Mean scores of people: each reference is scored against the other references of its photo.

    The references that a person is scored against are one fewer than those of a model.

    Args:
        references: lists of captions by image id; images with one reference are left out.
        which: as for metrics.evaluate.

    Returns:
        Scores by pycocoevalcap's names; empty if no image has two references.
    """
    references = {i: list(texts) for i, texts in references.items() if len(texts) > 1}
    if not references:
        return {}
    rounds = []
    for turn in range(min(map(len, references.values()))):
        others = {i: texts[:turn] + texts[turn + 1 :] for i, texts in references.items()}
        rounds.append(metrics.evaluate(others, {i: texts[turn] for i, texts in references.items()}, which))
    return {name: float(np.mean([scores[name] for scores in rounds])) for name in rounds[0]}


def nearest_neighbour_captions(cache, photos, training):
    """For each photo, a caption of a similar training photo.

    Candidates are the captions of the ten training photos whose mean regions are nearest by cosine. The candidate that
    shares the most words with the others is chosen, after Devlin et al., "Exploring nearest neighbor approaches for
    image captioning", 2015.

    Args:
        cache: a RegionCache that holds all photos.
        photos: photos to caption, a list of Photo.
        training: training photos, a list of Photo.

    Returns:
        A dict of sentences by photo id.
    """
    known, asked = _directions(cache, training), _directions(cache, photos)
    captions = {}
    for start in range(0, len(photos), _BLOCK):
        near = np.argsort(-(asked[start : start + _BLOCK] @ known.T), 1)[:, :_NEIGHBOURS]
        for photo, row in zip(photos[start : start + _BLOCK], near):
            captions[photo.id] = _consensus([text for i in row for text in training[i].references])
    return captions


def _directions(cache, photos):
    """Mean regions of photos as unit vectors, float (photos, channels)."""
    means = cache.means([photo.id for photo in photos])
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def _consensus(texts):
    """The sentence with the highest mean F-score of words against the other sentences."""
    bags = [Counter(tokenize(text)) for text in texts]
    sizes = [max(1, bag.total()) for bag in bags]
    agreement = [
        sum(2 * (bag & other).total() / (size + length) for other, length in zip(bags, sizes))
        for bag, size in zip(bags, sizes)
    ]
    return texts[int(np.argmax(agreement))]
