"""How sure a score is: bootstrap intervals, and whether one captioner beats another."""

from dataclasses import dataclass

import numpy as np

_SAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """The score of the second captions minus that of the first.

    Args:
        value: on the images as they are.
        low, high: 95 % of the resampled differences lie between them.
        p: two-sided; how often resampling turns the sign, doubled. Never below 2/1001.
    """

    value: float
    low: float
    high: float
    p: float


def _weights(images, seed):
    """How often every resample holds every image, float (samples, images)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(images, np.full(images, 1 / images), _SAMPLES).astype(float)


def intervals(scores, seed=0):
    """95 % percentile intervals over images (Efron, 1979), as (low, high) by name.

    CIDEr's document frequencies stay those of all images.

    Args:
        scores: a metrics.Scores.
        seed: of the resampling.
    """
    samples = scores.weighted(_weights(len(scores.ids), seed))
    return {name: _middle(samples[name]) for name in scores.corpus}


def compare(first, second, seed=0):
    """Paired bootstrap test (Koehn, 2004): both captioners on the same 1,000 resamples.

    Args:
        first, second: metrics.Scores of the same images in the same order.
        seed: of the resampling.

    Returns:
        A Difference by name, for scores that both have.
    """
    if first.ids != second.ids:
        raise ValueError("only scores of the same images can be compared")
    weights = _weights(len(first.ids), seed)
    before, after = first.weighted(weights), second.weighted(weights)
    result = {}
    for name in first.corpus:
        if name not in second.corpus:
            continue
        differences = after[name] - before[name]
        tail = min((differences <= 0).sum(), (differences >= 0).sum())
        p = min(1.0, 2 * (tail + 1) / (_SAMPLES + 1))
        result[name] = Difference(second.corpus[name] - first.corpus[name], *_middle(differences), p)
    return result


def _middle(values):
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
