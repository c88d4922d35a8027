"""Compute two baselines for the scores of a model: captions by people, and captions of similar training photos."""

from collections import Counter

import numpy as np

from utils.data.penn_treebank import tokenize
from utils.evaluation import metrics

# Number of similar training photos whose captions are candidates, and number of photos that are compared at once.
_NEIGHBOURS, _BLOCK = 10, 500


def human_scores(references, which=None):
    """Compute the mean scores of captions by people: each reference is scored against the others of the same photo.

    So people are scored against one reference fewer than a model.

    Args:
        references: a dict from image id to a list of captions by people. Images with one reference are left out.
        which: names of scorers, some of "Bleu", "METEOR", "ROUGE_L", "CIDEr" and "SPICE". None: all scorers that this
            machine can run.

    Returns:
        A dict from score name, such as "Bleu_4", to score. It is empty if no image has two references.
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
    """Give each photo the caption of a similar training photo, as a baseline for a model's captions.

    Photos are compared by the mean of their region vectors. The captions of the ten training photos with the highest
    cosine similarity are candidates. The candidate that has the most words in common with the other candidates is
    chosen, after Devlin et al., "Exploring nearest neighbor approaches for image captioning", 2015.

    Args:
        cache: RegionCache with the regions of all photos.
        photos: photos to caption, a list of Photo.
        training: training photos, a list of Photo.

    Returns:
        A dict from photo id to caption, a string.
    """
    known, asked = _directions(cache, training), _directions(cache, photos)
    captions = {}
    for start in range(0, len(photos), _BLOCK):
        near = np.argsort(-(asked[start : start + _BLOCK] @ known.T), 1)[:, :_NEIGHBOURS]
        for photo, row in zip(photos[start : start + _BLOCK], near):
            captions[photo.id] = _most_typical([text for i in row for text in training[i].references])
    return captions


def _directions(cache, photos):
    """Compute the mean of each photo's region vectors, scaled to length 1: float (photos, channels).

    `cache` is the RegionCache with the regions of the photos, and `photos` is a list of Photo.
    """
    means = cache.means([photo.id for photo in photos])
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def _most_typical(texts):
    """Return the sentence, from a list, whose words agree best with the other sentences: highest mean F-score."""
    bags = [Counter(tokenize(text)) for text in texts]
    sizes = [max(1, bag.total()) for bag in bags]
    agreement = [
        sum(2 * (bag & other).total() / (size + length) for other, length in zip(bags, sizes))
        for bag, size in zip(bags, sizes)
    ]
    return texts[int(np.argmax(agreement))]
