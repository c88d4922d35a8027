"""How sure a caption is: the probability that a person would call it right, or right in its main point."""

import json
from pathlib import Path

import numpy as np

from utils.data.tokenizer import END, PAD
from utils.errors import InputError
from utils.files import replacing

# What tells a right caption from a wrong one, at no cost beside the search. docs/confidence.md says what was left out.
FEATURES = ("log_probability", "likeness")

# Log-likenesses below this one are all the same: nothing of what is expected is said.
LEAST_LIKENESS = 0.005

# Weight of the squares of the coefficients in the fit.
_RIDGE = 1.0


def features(hypotheses):
    """What is known of hypotheses after a search.

    `log_probability` is that of a word, the end included. `likeness` is the logarithm of the caption's likeness with
    what people would say, by the consensus; far from its training photos it expects nothing, and likenesses are small.

    Args:
        hypotheses: of `utils.model.search`, from a beam search with a consensus; of others the likeness is nan.

    Returns:
        Float (photos, hypotheses, features), in the order of FEATURES.
    """
    lengths = ((hypotheses.words != PAD) & (hypotheses.words != END)).sum(axis=-1)
    likeness = np.log(np.maximum(hypotheses.likeness, LEAST_LIKENESS))
    return np.stack([hypotheses.log_probabilities / (lengths + 1), likeness], axis=-1)


class Confidence:
    """Logistic regression from `features` to a probability.

    Args:
        means, scales: of each feature over the captions of the fit.
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
            targets: whether each caption is right, (captions,).
        """
        means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
        inputs = np.c_[np.ones(len(rows)), (rows - means) / scales]
        weights, ridge = np.zeros(inputs.shape[1]), _RIDGE * np.eye(inputs.shape[1])
        ridge[0, 0] = 1e-6
        for _ in range(50):  # Newton's method, which needs about six steps
            found = _logistic(inputs @ weights)
            slope = inputs.T @ (found - targets) + ridge @ weights
            weights -= np.linalg.solve((inputs.T * (found * (1 - found))) @ inputs + ridge, slope)
        return cls(means, scales, weights[1:], weights[0])

    def __call__(self, rows):
        """Probabilities, float (…), of features (…, features)."""
        return _logistic((rows - self.means) / self.scales @ self.weights + self.bias)

    def to_dict(self):
        """The regression as a dict for JSON: `bias`, and `mean`, `scale` and `weight` of each feature by its name."""
        values = zip(self.means.tolist(), self.scales.tolist(), self.weights.tolist())
        by_name = {name: dict(zip(("mean", "scale", "weight"), value)) for name, value in zip(FEATURES, values)}
        return {"bias": self.bias, "features": by_name}

    def save(self, path):
        """Write the regression as a JSON file.

        Raises:
            InputError: the file cannot be written.
        """
        with replacing(path) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

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
