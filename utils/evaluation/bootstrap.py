"""Bootstrap intervals of scores, and tests of the difference between two captioners."""

from dataclasses import dataclass

import numpy as np

_SAMPLES = 1000

# Resamples in memory at once. With 100,000 images, all of them would take a gigabyte.
_BLOCK = 50


@dataclass(frozen=True)
class Difference:
    """The score of the second captions minus the score of the first.

    Args:
        value: difference on all images.
        low, high: bounds of the 95 % interval of the resampled differences.
        p: two-sided p value: twice the share of resamples in which the sign changes, at least 2/1001.
    """

    value: float
    low: float
    high: float
    p: float


def _resample(scores, seed):
    """Scores of the same resamples of the images, for each of `scores`: a dict of float (samples,) by name."""
    images = len(scores[0].ids)
    generator, shares, blocks = np.random.default_rng(seed), np.full(images, 1 / images), []
    for _ in range(_SAMPLES // _BLOCK):
        weights = generator.multinomial(images, shares, _BLOCK).astype(float)
        blocks.append([each.weighted(weights) for each in scores])
    return [
        {name: np.concatenate([block[name] for block in own]) for name in own[0]} for own in zip(*blocks, strict=True)
    ]


def intervals(scores, seed=0):
    """95 % percentile intervals over images (Efron, 1979): a dict of (low, high) by score.

    CIDEr's document frequencies come from all images in every resample.

    Args:
        scores: a metrics.Scores.
        seed: seed of the resampling.
    """
    (samples,) = _resample([scores], seed)
    return {name: _middle(samples[name]) for name in scores.corpus}


def compare(first, second, seed=0):
    """Paired bootstrap test (Koehn, 2004): both captioners on the same 1,000 resamples.

    Args:
        first, second: metrics.Scores of the same images in the same order.
        seed: seed of the resampling.

    Returns:
        A dict of Difference by score, for scores that both have.
    """
    if first.ids != second.ids:
        raise ValueError("only scores of the same images can be compared")
    before, after = _resample([first, second], seed)
    result = {}
    for name in first.corpus:
        if name not in second.corpus:
            continue
        differences = after[name] - before[name]
        tail = min((differences <= 0).sum(), (differences >= 0).sum())
        p = min(1.0, 2 * (tail + 1) / (_SAMPLES + 1))
        result[name] = Difference(second.corpus[name] - first.corpus[name], *_middle(differences), p)
    return result


def mean_interval(values, groups, seed=0):
    """95 % interval of the mean of grouped values, such as the words of a photo; whole groups are resampled.

    Args:
        values: float (values,).
        groups: group of each value, int (values,).
        seed: seed of the resampling.

    Returns:
        (low, high).
    """
    _, index = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    weights = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _SAMPLES)
    return _middle((weights @ sums) / (weights @ counts))


def _middle(values):
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
