"""Confidence: the probability that a person would call a caption right, or right in its main point."""

import json
from pathlib import Path

import numpy as np

from utils.data.tokenizer import END, PAD
from utils.errors import InputError, reason
from utils.files import replacing

# Inputs of the logistic regression. Search computes both already. docs/confidence.md lists the inputs that did not
# improve the confidence.
FEATURES = ("log_probability", "likeness", "detail")

# Captions with a confidence below this value are more often wrong than right.
UNSURE = 0.5

# The likeness is raised to at least this value before its logarithm is taken. A caption with a lower likeness has
# almost no word that people would use for the photo.
LEAST_LIKENESS = 0.005

# The detail is lowered to at most this value, which nearly all photos exceed. So it tells pictures without content from
# photos, and does not matter otherwise.
MOST_DETAIL = 0.3

# The fit adds _RIDGE / 2 times the sum of the squared coefficients to the loss, so that the coefficients stay small.
_RIDGE = 1.0


def features(hypotheses):
    """Compute for each caption three numbers, the features, from which `Confidence` computes how likely it is right.

    `log_probability` is the mean log-probability per word; the end counts as a word. `likeness` is the logarithm of
    `Consensus.likeness`, a number that tells how well the caption agrees with the words that people would use. A
    Consensus predicts these words. For photos that differ from all training photos it predicts none, so their
    likeness is small. `detail` is `Consensus.detail`, which is small for pictures without content.

    Args:
        hypotheses: Hypotheses, the captions that `beam_search` has found, with their words, log-probabilities,
            likeness and detail. If the model has no Consensus, likeness and detail are NaN.

    Returns:
        The features, float (photos, captions, 3), in the order of `FEATURES`.
    """
    lengths = ((hypotheses.words != PAD) & (hypotheses.words != END)).sum(axis=-1)
    likeness = np.log(np.maximum(hypotheses.likeness, LEAST_LIKENESS))
    detail = np.broadcast_to(np.minimum(hypotheses.detail, MOST_DETAIL)[:, None], likeness.shape)
    return np.stack([hypotheses.log_probabilities / (lengths + 1), likeness, detail], axis=-1)


class Confidence:
    """Computes the confidence of captions, the probability that a caption is right, by logistic regression.

    The inputs of the regression are the values that the function `features` computes for each caption.

    Args:
        means, scales: mean and standard deviation of each feature over the captions of the fit, float (features,).
        weights: coefficient of each standardised feature, float (features,).
        bias: intercept, a float.
    """

    def __init__(self, means, scales, weights, bias):
        self.means, self.scales, self.weights = (np.asarray(each, float) for each in (means, scales, weights))
        self.bias = float(bias)

    @classmethod
    def fit(cls, rows, targets):
        """Fit the regression to captions known to be right or wrong, by maximum likelihood with a small ridge penalty.

        Args:
            rows: the features of captions, float (captions, features).
            targets: True for each caption that is right, boolean (captions,).

        Returns:
            A Confidence.
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
        """Compute the confidence of each caption.

        Args:
            rows: the features of captions, float (…, features), for example the result of `features`.

        Returns:
            Probabilities, 0 to 1, float (…).
        """
        return _logistic((rows - self.means) / self.scales @ self.weights + self.bias)

    def to_dict(self):
        """Return the regression as a dict for JSON.

        Returns:
            A dict with two keys: `bias`, and `features`, a dict from the name of each feature to a dict with `mean`,
            `scale` and `weight`.
        """
        values = zip(self.means.tolist(), self.scales.tolist(), self.weights.tolist())
        by_name = {name: dict(zip(("mean", "scale", "weight"), value)) for name, value in zip(FEATURES, values)}
        return {"bias": self.bias, "features": by_name}

    def save(self, path):
        """Write the regression to a JSON file.

        Args:
            path: the file, a Path. An existing file is replaced.

        Raises:
            InputError: the file cannot be written.
        """
        with replacing(path) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Read a file that the method `save` has written.

        Args:
            path: the file, a str or Path.

        Returns:
            A Confidence; None if the file does not exist, as in old model folders. Features that the file lacks, as
            files of earlier versions do, have no effect on the confidence.

        Raises:
            InputError: the file is damaged or was fitted with other features.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            found = content["features"]
            if not found or found.keys() - set(FEATURES):
                raise ValueError("it has other features")
            rows = [found.get(name, {"mean": 0, "scale": 1, "weight": 0}) for name in FEATURES]
            values = [[row[key] for row in rows] for key in ("mean", "scale", "weight")]
            return cls(*values, content["bias"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f"cannot read {path}: damaged ({reason(error)})"
            raise InputError(f"{said}; delete it, or run train.py --confidence_only") from None


def is_unsure(caption):
    """Return True if the model is unsure of a Caption: its confidence is below `UNSURE`, a half.

    Return False if the caption has no confidence.
    """
    return caption.confidence is not None and caption.confidence < UNSURE


def confidence_note(caption):
    """Make the sentence with which pages show the confidence of a caption; None if the caption has no confidence."""
    if caption.confidence is None:
        return None
    if is_unsure(caption):
        return f"The model is unsure (confidence {caption.confidence:.0%})."
    return f"Confidence {caption.confidence:.0%}."


def _logistic(values):
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))
