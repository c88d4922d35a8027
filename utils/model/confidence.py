"""How sure a caption is: the probability that a person would call it right, or right in its main point."""

import json
import os
from pathlib import Path

import numpy as np

from utils.data.tokenizer import END, PAD
from utils.errors import InputError

# What tells a right caption from a wrong one while captioning; each costs nothing beside the search.
FEATURES = ("log_probability", "likeness", "nearness", "agreement", "spread")

# Log-likenesses below this one are all the same: nothing of what is expected is said.
_LEAST = 0.005

# Weight of the squares of the coefficients in the fit.
_RIDGE = 1.0


def features(consensus, regions, words, log_probabilities, groups=1):
    """What is known of hypotheses while captioning.

    `log_probability` is that of a word, the end included. `likeness` is the logarithm of the caption's likeness with
    what people would say, by the consensus. `nearness` is the photo's mean likeness to the consensus' training photos.
    `agreement` is the mean cosine of the caption's words with those of the other hypotheses of its group, each word
    weighed by its rarity; nan where there is no other. `spread` is the entropy of the expected words, in nats.

    Args:
        consensus: a Consensus.
        regions: (photos, regions, channels).
        words: (photos, hypotheses, length), ended by END, filled with PAD.
        log_probabilities: (photos, hypotheses).
        groups: the hypotheses come in so many groups of the same size.

    Returns:
        Float (photos, hypotheses, features), in the order of FEATURES.
    """
    kernel, expected = consensus.compare(np.asarray(regions, "float32").mean(axis=1))
    shares = np.maximum(expected, 1e-9)
    shares /= shares.sum(axis=1, keepdims=True)
    photos, count = words.shape[:2]
    found = np.empty((photos, count, len(FEATURES)))
    lengths = ((words != PAD) & (words != END)).sum(axis=-1)
    found[..., 0] = log_probabilities / (lengths + 1)
    found[..., 2] = kernel.mean(axis=1)[:, None]
    found[..., 4] = -(shares * np.log(shares)).sum(axis=1)[:, None]
    for photo in range(photos):
        vectors = [_vector(each, consensus.rarity) for each in words[photo]]
        weights = dict(zip(consensus.expected_words.tolist(), expected[photo].tolist()))
        for index, vector in enumerate(vectors):
            likeness = sum(weights.get(word, 0) * value for word, value in vector.items())
            found[photo, index, 1] = np.log(max(likeness, _LEAST))
            first = index - index % (count // groups)
            others = [vectors[i] for i in range(first, first + count // groups) if i != index]
            cosines = [sum(value * other.get(word, 0) for word, value in vector.items()) for other in others]
            found[photo, index, 3] = sum(cosines) / len(cosines) if cosines else np.nan
    return found


def _vector(numbers, rarity):
    """A caption's words as a vector of length one, {number: weight}."""
    vector = {}
    for number in numbers.tolist():
        if number in (END, PAD):
            break
        vector[number] = vector.get(number, 0.0) + float(rarity[number])
    length = sum(value * value for value in vector.values()) ** 0.5
    return {number: value / max(length, 1e-12) for number, value in vector.items()}


class Confidence:
    """Logistic regression from `features` to a probability.

    Args:
        means, scales: of each feature over the captions of the fit; a feature that is nan counts as its mean.
        weights: of each standardised feature.
        bias: of all.
    """

    def __init__(self, means, scales, weights, bias):
        self.means, self.scales, self.weights = (np.asarray(each, float) for each in (means, scales, weights))
        self.bias = float(bias)

    @classmethod
    def fit(cls, rows, targets):
        """Fit by maximum likelihood, with a small ridge.

        Args:
            rows: features, float (captions, features).
            targets: probability, or 0 and 1, that the caption is right, (captions,).
        """
        means, scales = np.nanmean(rows, axis=0), np.maximum(np.nanstd(rows, axis=0), 1e-9)
        inputs = np.c_[np.ones(len(rows)), np.nan_to_num((rows - means) / scales)]
        weights, ridge = np.zeros(inputs.shape[1]), _RIDGE * np.eye(inputs.shape[1])
        ridge[0, 0] = 1e-6
        for _ in range(50):  # Newton's method, which needs about six steps
            found = _logistic(inputs @ weights)
            slope = inputs.T @ (found - targets) + ridge @ weights
            weights -= np.linalg.solve((inputs.T * (found * (1 - found))) @ inputs + ridge, slope)
        return cls(means, scales, weights[1:], weights[0])

    def __call__(self, rows):
        """Probabilities, float (…), of features (…, features)."""
        return _logistic(np.nan_to_num((rows - self.means) / self.scales) @ self.weights + self.bias)

    def save(self, path):
        """Write a JSON file, replaced by a rename."""
        values = zip(self.means.tolist(), self.scales.tolist(), self.weights.tolist())
        content = {name: dict(zip(("mean", "scale", "weight"), value)) for name, value in zip(FEATURES, values)}
        temporary = Path(path).with_name(f"partial.{Path(path).name}")
        temporary.write_text(json.dumps({"bias": self.bias, "features": content}, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; None if there is no such file, as in folders of earlier versions.

        Raises:
            InputError: damaged, or of other features.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if tuple(content["features"]) != FEATURES:
                raise ValueError("of other features")
            values = [[each[name] for each in content["features"].values()] for name in ("mean", "scale", "weight")]
            return cls(*values, content["bias"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged ({error}); delete it, or run train.py --confidence_only") from None


def _logistic(values):
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))
