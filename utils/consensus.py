"""Consensus: of the captions that a search has found, the one whose words people would use of the photo comes first."""

import os
from pathlib import Path

import h5py
import numpy as np

from utils.tokenizer import SPECIAL_WORDS

# Captions are ranked by their log-probability a word plus so many times their likeness, a cosine (models/README.md).
WEIGHT = 6.0

# Photos that new ones are compared with, and words that are expected, the most frequent: 2 MB of weights each.
_LANDMARKS, _WORDS = 2048, 1024

# Two photos are alike by exp(-_SHARPNESS · distance²) of their mean regions' directions, unit vectors.
_SHARPNESS, _RIDGE = 1.5, 0.4

# Photos that are compared at a time.
_BATCH_PHOTOS = 1024

_ARRAYS = ("mean", "scale", "landmarks", "expected_words", "rarity", "coefficients")


class Consensus:
    """How well captions meet what people are expected to say of a photo.

    A caption is the direction of its words, each weighed by how rare it is
    (tf-idf). What people say of a photo is the mean of their captions'
    directions; it is told from the photo's mean region by kernel ridge
    regression from training photos of which captions are known. The likeness
    of caption and expectation is that of CIDEr for single words: Vedantam,
    Zitnick and Parikh, "CIDEr: consensus-based image description evaluation",
    2015, equation 2. The captions of the most similar photos are what others
    rank by: Devlin et al., "Exploring nearest neighbor approaches for image
    captioning", 2015; here no caption is kept.

    Args:
        mean, scale: of the channels of mean regions of training photos, float (channels,).
        landmarks: directions of some of these photos' mean regions, float (landmarks, channels).
        expected_words: the numbers of the words that are expected, int (words,).
        rarity: of all words, the logarithm of photos over photos whose captions hold it, float (vocabulary,).
        coefficients: of the regression, float (landmarks, words).
    """

    def __init__(self, mean, scale, landmarks, expected_words, rarity, coefficients):
        self.mean, self.scale, self.landmarks = mean, scale, landmarks
        self.expected_words, self.rarity, self.coefficients = expected_words, rarity, coefficients

    @classmethod
    def fit(cls, means, captions, vocabulary_size, seed=0):
        """Learn from training photos: seconds for thousands of them.

        Args:
            means: their mean regions, float32 (photos, channels).
            captions: for each photo a list of one or more captions, lists of word numbers.
            vocabulary_size: words, the special ones included.
            seed: of the choice of landmarks.
        """
        occurrences, photos = np.zeros(vocabulary_size), np.zeros(vocabulary_size)
        for each in captions:
            words, counts = np.unique(np.concatenate([*each, []]).astype(int), return_counts=True)
            occurrences[words] += counts
            photos[words] += 1
        rarity = np.log(len(captions) / np.maximum(photos, 1)).astype("float32")
        rarity[: len(SPECIAL_WORDS)] = 0
        expected = np.sort(np.argsort(-occurrences * (rarity > 0), kind="stable")[:_WORDS])

        deviation = means.std(axis=0)
        scale = 1 / np.maximum(deviation + 0.1 * deviation.mean(), 1e-12)
        result = cls(means.mean(axis=0), scale, None, expected, rarity, None)
        chosen = np.random.default_rng(seed).permutation(len(means))[:_LANDMARKS]
        # As they will be read from a file.
        result.landmarks = _restored(*_levels(result._directions(means[chosen]), axis=1))

        # Normal equations of the regression on likeness with landmarks: Williams and Seeger, "Using the Nyström
        # method to speed up kernel machines", 2001.
        among = result._likeness_of_photos(result.landmarks).astype("float64")
        squares, products = _RIDGE * among, np.zeros((len(chosen), len(expected)))
        for start in range(0, len(means), _BATCH_PHOTOS):
            batch = slice(start, start + _BATCH_PHOTOS)
            kernel = result._likeness_of_photos(result._directions(means[batch]))
            said = [result._caption_directions(each)[:, expected].mean(axis=0) for each in captions[batch]]
            squares += kernel.T @ kernel
            products += kernel.T @ np.stack(said)
        squares[np.diag_indices_from(squares)] += 1e-3
        result.coefficients = _restored(*_levels(np.linalg.solve(squares, products), axis=0))
        return result

    def expectations(self, regions):
        """For regions (photos, regions, channels) the weight of each expected word, float32 (photos, words)."""
        directions = self._directions(np.asarray(regions, "float32").mean(axis=1))
        return self._likeness_of_photos(directions) @ self.coefficients

    def likeness(self, regions, words):
        """How well captions meet what people would say, about 0 to 1.

        Args:
            regions: (photos, regions, channels).
            words: captions, int (photos, captions, length), ended by END, filled with PAD.

        Returns:
            Float32 (photos, captions).
        """
        each = zip(words, self.expectations(regions))
        return np.stack([self._caption_directions(of)[:, self.expected_words] @ expected for of, expected in each])

    def _directions(self, means):
        """Mean regions (photos, channels) as vectors of length one from the mean of all."""
        vectors = (means - self.mean) * self.scale
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _likeness_of_photos(self, directions):
        """Of photos with the landmarks, 0 to 1, (photos, landmarks)."""
        return np.exp(2 * _SHARPNESS * (directions @ self.landmarks.T - 1))

    def _caption_directions(self, captions):
        """Captions, rows of word numbers, as tf-idf vectors of length one (captions, vocabulary).

        Special words have no rarity, so END and PAD count for nothing.
        """
        size, lengths = len(self.rarity), [len(words) for words in captions]
        cells = np.repeat(np.arange(len(captions)) * size, lengths) + np.concatenate([*captions, []]).astype(int)
        vectors = np.bincount(cells, minlength=len(captions) * size).reshape(-1, size).astype("float32") * self.rarity
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def save(self, path):
        """Write an .h5 file, replaced by a rename: eight bits a weight of landmarks and regression."""
        path = Path(path)
        temporary = path.with_name(f"partial.{path.name}")
        with h5py.File(temporary, "w") as file:
            for name in _ARRAYS:
                array = getattr(self, name)
                if array.ndim == 2:
                    levels, step = _levels(array, axis=1 if name == "landmarks" else 0)
                    file.create_dataset(name, data=levels, compression="gzip").attrs["step"] = step
                else:
                    file.create_dataset(name, data=array)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises:
            OSError, KeyError: no such file, or a damaged one.
        """
        with h5py.File(path, "r") as file:
            return cls(*(_restored(file[name][...], file[name].attrs.get("step", 1)) for name in _ARRAYS))


class JointConsensus:
    """Those of several models that write together: the mean of their likenesses.

    Args:
        members: a Consensus, or None for a model without, for each model.
        channels: of the regions that each model takes, in their order.
    """

    def __init__(self, members, channels):
        self.members, self._ends = members, np.cumsum(channels)[:-1]

    def likeness(self, regions, words):
        """As `Consensus.likeness`, of the regions of all models side by side."""
        parts = np.split(regions, self._ends, axis=-1)
        each = [member.likeness(part, words) for member, part in zip(self.members, parts, strict=True) if member]
        return sum(each) / len(each)


def _levels(array, axis):
    """An array in steps of 1/127 of the largest value along an axis, int8, and the steps."""
    step = np.maximum(np.abs(array).max(axis=axis, keepdims=True) / 127, 1e-30).astype("float32")
    return np.rint(array / step).astype("int8"), step


def _restored(levels, step):
    return levels * step if levels.dtype == np.int8 else levels
