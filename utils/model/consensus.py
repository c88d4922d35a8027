"""Consensus: of the captions that a search has found, the one whose words people would use of the photo comes first."""

import h5py
import numpy as np
from keras import ops

from utils.data.tokenizer import SPECIAL_WORDS
from utils.features.quantised_weights import quantise
from utils.files import replacing

# Captions are ranked by their log-probability a word plus so many times their likeness, a cosine (models/README.md).
WEIGHT = 6.0

# Photos that new ones are compared with, and words that are expected, the most frequent: 2 MB of weights each.
_LANDMARKS, _WORDS = 2048, 1024

# Two photos are alike by exp(-_SHARPNESS · distance²) of their mean regions' directions, unit vectors.
_SHARPNESS, _RIDGE = 1.5, 0.4

# Photos that are compared at a time.
_BATCH_PHOTOS = 1024

_ARRAYS = ("mean", "scale", "landmarks", "expected_words", "rarity", "coefficients")

# The large ones have eight bits a value; along these axes their values share a step.
_STEP_AXES = {"landmarks": 1, "coefficients": 0}


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
        # For each word its place among the expected ones; all others share the place behind these.
        places = np.full(len(rarity), len(expected_words), "int32")
        places[expected_words] = np.arange(len(expected_words))
        # Compiled functions hold tensors by reference, of arrays they hold copies.
        tensors = [ops.convert_to_tensor(each) for each in (landmarks, coefficients, rarity, places)]
        self._landmarks, self._coefficients, self._rarity, self._places = tensors

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

        mean, deviation = means.mean(axis=0), means.std(axis=0)
        scale = 1 / np.maximum(deviation + 0.1 * deviation.mean(), 1e-12)
        chosen = np.random.default_rng(seed).permutation(len(means))[:_LANDMARKS]
        directions = ops.convert_to_numpy(_directions(means, mean, scale))
        landmarks = _in_eight_bits("landmarks", directions[chosen])

        # Normal equations of the regression on likeness with landmarks: Williams and Seeger, "Using the Nyström
        # method to speed up kernel machines", 2001.
        among = ops.convert_to_numpy(_likeness_of_photos(landmarks, landmarks)).astype("float64")
        squares, products = _RIDGE * among, np.zeros((len(chosen), len(expected)))
        for start in range(0, len(means), _BATCH_PHOTOS):
            batch = slice(start, start + _BATCH_PHOTOS)
            kernel = ops.convert_to_numpy(_likeness_of_photos(directions[batch], landmarks))
            said = [_caption_directions(each, rarity)[:, expected].mean(axis=0) for each in captions[batch]]
            squares += kernel.T @ kernel
            products += kernel.T @ np.stack(said)
        squares[np.diag_indices_from(squares)] += 1e-3
        coefficients = _in_eight_bits("coefficients", np.linalg.solve(squares, products))
        return cls(mean, scale, landmarks, expected, rarity, coefficients)

    def expectations(self, regions):
        """For regions (photos, regions, channels) the weight of each expected word, float32 (photos, words)."""
        directions = _directions(ops.mean(regions, axis=1), self.mean, self.scale)
        return _likeness_of_photos(directions, self._landmarks) @ self._coefficients

    def likeness(self, regions, words):
        """How well captions meet what people would say, about 0 to 1; may be compiled.

        Args:
            regions: (photos, regions, channels).
            words: captions, int (photos, captions, length), ended by END, filled with PAD.

        Returns:
            Float32 (photos, captions).
        """
        # The product of two directions, of which the captions' is never written out over the whole vocabulary.
        rarity, places = (ops.take(each, words) for each in (self._rarity, self._places))
        expected = ops.pad(self.expectations(regions), ((0, 0), (0, 1)))
        expected = ops.take_along_axis(expected[:, None], places, axis=-1)
        same = ops.cast(words[..., :, None] == words[..., None, :], "float32")
        squares = ops.sum(same * rarity[..., None] ** 2, axis=(-2, -1))
        return ops.sum(expected * rarity, axis=-1) / ops.maximum(ops.sqrt(squares), 1e-12)

    def save(self, path):
        """Write an .h5 file, replaced by a rename: eight bits a weight of landmarks and regression."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            for name in _ARRAYS:
                array = getattr(self, name)
                if name in _STEP_AXES:
                    levels, step = quantise(array, _STEP_AXES[name])
                    file.create_dataset(name, data=levels, compression="gzip").attrs["step"] = step
                else:
                    file.create_dataset(name, data=array)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises:
            OSError, KeyError: no such file, or a damaged one.
        """
        with h5py.File(path, "r") as file:
            stored = [file[name] for name in _ARRAYS]
            return cls(*(each[...] * each.attrs["step"] if "step" in each.attrs else each[...] for each in stored))


class JointConsensus:
    """Those of several models that write together: the mean of their likenesses.

    Args:
        members: a Consensus, or None for a model without, for each model.
        channels: of the regions that each model takes, in their order.
    """

    def __init__(self, members, channels):
        self.members, self._ends = members, np.cumsum(channels)[:-1].tolist()

    def likeness(self, regions, words):
        """As `Consensus.likeness`, of the regions of all models side by side."""
        parts = ops.split(regions, self._ends, axis=-1)
        each = [member.likeness(part, words) for member, part in zip(self.members, parts, strict=True) if member]
        return sum(each) / len(each)


def _in_eight_bits(name, array):
    """An array as it will be read from a file."""
    levels, step = quantise(array, _STEP_AXES[name])
    return levels * step


def _directions(means, mean, scale):
    """Mean regions (photos, channels) as vectors of length one from the mean of all."""
    vectors = (means - mean) * scale
    return vectors / ops.maximum(ops.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _likeness_of_photos(directions, landmarks):
    """Of photos with the landmarks, 0 to 1, (photos, landmarks)."""
    return ops.exp(2 * _SHARPNESS * (ops.matmul(directions, ops.transpose(landmarks)) - 1))


def _caption_directions(captions, rarity):
    """Captions, lists of word numbers, as tf-idf vectors of length one (captions, vocabulary).

    Special words have no rarity, so they count for nothing.
    """
    size, lengths = len(rarity), [len(words) for words in captions]
    cells = np.repeat(np.arange(len(captions)) * size, lengths) + np.concatenate([*captions, []]).astype(int)
    vectors = np.bincount(cells, minlength=len(captions) * size).reshape(-1, size).astype("float32") * rarity
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
