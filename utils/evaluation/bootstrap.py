"""Compute bootstrap intervals of scores, and test the difference between two captioners."""

from dataclasses import dataclass

import numpy as np

# Number of resamples. A resample draws as many images as there are, with replacement.
_SAMPLES = 1000

# Number of resamples in memory at once. With 100,000 images, all resamples together would take a gigabyte.
_BLOCK = 50


@dataclass(frozen=True)
class Difference:
    """Hold the difference of a score between two captioners: the second one's score minus the first one's.

    Args:
        value: difference of the scores on all images.
        low, high: bounds of the 95 % interval of the differences in the bootstrap resamples.
        p: two-sided p value: 2 × (n + 1) / 1001, at most 1, where n is the number of resamples in which the difference
            has the less frequent sign.
    """

    value: float
    low: float
    high: float
    p: float


def _resample(scores, seed):
    """Make random bootstrap resamples of the images, and compute the scores of each resample.

    Args:
        scores: list of metrics.Scores, one per captioner, of the same images. All get the same resamples.
        seed: random seed of the resampling.

    Returns:
        A list with a dict for each element of `scores`: from score name to the scores of the resamples, float
        (samples,).
    """
    images = len(scores[0].ids)
    generator, shares, blocks = np.random.default_rng(seed), np.full(images, 1 / images), []
    for _ in range(_SAMPLES // _BLOCK):
        weights = generator.multinomial(images, shares, _BLOCK).astype(float)
        blocks.append([each.weighted(weights) for each in scores])
    return [
        {name: np.concatenate([block[name] for block in own]) for name in own[0]} for own in zip(*blocks, strict=True)
    ]


def intervals(scores, seed=0):
    """Compute 95 % bootstrap intervals of corpus scores (Efron, 1979): the images are resampled 1,000 times.

    CIDEr's document frequencies are not resampled. They always come from all images.

    Args:
        scores: the metrics.Scores of a captioner.
        seed: random seed of the resampling.

    Returns:
        A dict from score name, such as "CIDEr", to the interval (low, high).
    """
    (samples,) = _resample([scores], seed)
    return {name: _middle(samples[name]) for name in scores.corpus}


def compare(first, second, seed=0):
    """Test with a paired bootstrap whether two captioners differ (Koehn, 2004).

    Both captioners are scored on the same 1,000 resamples of the images.

    Args:
        first, second: metrics.Scores of the two captioners, for the same images in the same order.
        seed: random seed of the resampling.

    Returns:
        A dict from score name to Difference, for the scores that both captioners have.
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
    """Compute the 95 % bootstrap interval of a mean over values that come in groups.

    For example, the values are scores of words, and a group is the words of one photo. Whole groups are resampled,
    because the values in a group depend on each other.

    Args:
        values: float (values,).
        groups: number of the group of each value, int (values,).
        seed: random seed of the resampling.

    Returns:
        (low, high), two floats.
    """
    _, index = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    weights = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _SAMPLES)
    return _middle((weights @ sums) / (weights @ counts))


def _middle(values):
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
