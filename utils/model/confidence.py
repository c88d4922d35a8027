"""Confidence of a caption: the probability that a person would call it right, or right in its main point."""

import json
from pathlib import Path

import numpy as np

from utils.data.tokenizer import END, PAD
from utils.errors import InputError, reason
from utils.files import replacing

# Inputs of the regression. Search computes both anyway. docs/confidence.md lists the features that did not help.
FEATURES = ("log_probability", "likeness")

# Lower bound of the likeness before the logarithm. Below it a caption has practically no expected word.
LEAST_LIKENESS = 0.005

# Weight of the squared coefficients in the fit.
_RIDGE = 1.0


def features(hypotheses):
    """Compute the regression's inputs for hypotheses of a search.

    `log_probability` is the mean log-probability per word, the end included. `likeness` is the logarithm of the
    likeness that `utils.model.consensus` computes. It is small for photos that differ from all training photos, since
    the consensus expects no words there.

    Args:
        hypotheses: Hypotheses of a beam search with a consensus. Without a consensus `likeness` is nan.

    Returns:
        Features, float (photos, hypotheses, features), in the order of FEATURES.
    """
    lengths = ((hypotheses.words != PAD) & (hypotheses.words != END)).sum(axis=-1)
    likeness = np.log(np.maximum(hypotheses.likeness, LEAST_LIKENESS))
    return np.stack([hypotheses.log_probabilities / (lengths + 1), likeness], axis=-1)


class Confidence:
    """Logistic regression from `features` to a probability.

    Args:
        means, scales: mean and standard deviation of each feature over the captions of the fit.
        weights: coefficient of each standardised feature.
        bias: intercept.
    """

    def __init__(self, means, scales, weights, bias):
        self.means, self.scales, self.weights = (np.asarray(each, float) for each in (means, scales, weights))
        self.bias = float(bias)

    @classmethod
    def fit(cls, rows, targets):
        """Fit the regression by maximum likelihood with a small ridge penalty.

        Args:
            rows: features, float (captions, features).
            targets: whether each caption is right, boolean (captions,).
        """
        means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
        inputs = np.c_[np.ones(len(rows)), (rows - means) / scales]
        weights, ridge = np.zeros(inputs.shape[1]), _RIDGE * np.eye(inputs.shape[1])
        ridge[0, 0] = 1e-6
        for _ in range(50):  # Newton's method; it converges in about six steps
            found = _logistic(inputs @ weights)
            slope = inputs.T @ (found - targets) + ridge @ weights
            weights -= np.linalg.solve((inputs.T * (found * (1 - found))) @ inputs + ridge, slope)
        return cls(means, scales, weights[1:], weights[0])

    def __call__(self, rows):
        """Compute probabilities.

        Args:
            rows: features, float (…, features).

        Returns:
            Probabilities, float (…).
        """
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
        """Read a file that `save` has written. None if there is no file: model folders of earlier versions lack it.

        Raises:
            InputError: the file is damaged or belongs to other features.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if tuple(content["features"]) != FEATURES:
                raise ValueError("it has other features")
            values = [[each[name] for each in content["features"].values()] for name in ("mean", "scale", "weight")]
            return cls(*values, content["bias"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f"cannot read {path}: damaged ({reason(error)})"
            raise InputError(f"{said}; delete it, or run train.py --confidence_only") from None


def _logistic(values):
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))
