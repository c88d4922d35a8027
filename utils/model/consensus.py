"""Consensus: ranks the captions of a photo by their similarity to the captions that people are expected to write."""

import h5py
import numpy as np
from keras import ops

from utils.data.tokenizer import SPECIAL_WORDS
from utils.features.quantised_weights import quantise
from utils.files import replacing

# Captions are ranked by mean log-probability per word plus WEIGHT times the likeness, a cosine. The value is the best
# one on Flickr8k's validation photos (models/README.md).
WEIGHT = 6.0

# Number of training photos that new photos are compared with, and number of frequent words whose use is predicted.
# The file holds _LANDMARKS × (channels + _WORDS) values of 8 bits, compressed.
_LANDMARKS, _WORDS = 2048, 1024

# The kernel of two photos is exp(-_SHARPNESS · distance²) of their directions. A photo's direction is its
# standardised mean region, scaled to length 1. _RIDGE is the penalty of the regression.
_SHARPNESS, _RIDGE = 1.5, 0.4

# Photos per batch of the fit.
_BATCH_PHOTOS = 1024

_ARRAYS = ("mean", "scale", "landmarks", "expected_words", "rarity", "coefficients")

# Arrays that are stored with 8 bits per value, and the axis along which values share a quantisation step.
_STEP_AXES = {"landmarks": 1, "coefficients": 0}


class Consensus:
    """Predicts the words of human captions of a photo, and compares captions with the prediction.

    A caption is represented by its tf-idf vector, scaled to length 1: each
    word counts by its rarity. The prediction for a photo is the mean vector of
    the captions that people would write. Kernel ridge regression computes it
    from the photo's mean region; it is fitted on training photos and their
    captions. The likeness of a caption is the product of both vectors. This is
    CIDEr with single words: Vedantam, Zitnick and Parikh, "CIDEr:
    consensus-based image description evaluation", 2015, equation 2.

    Devlin et al., "Exploring nearest neighbor approaches for image
    captioning", 2015, rank by the captions of the most similar photos instead.
    The regression does not need to store captions.

    Args:
        mean, scale: mean and inverse standard deviation of the channels of mean regions, float (channels,).
        landmarks: directions of a random choice of training photos, float (landmarks, channels).
        expected_words: numbers of the predicted words, int (words,).
        rarity: logarithm of (photos / photos with this word in a caption) for each word, float (vocabulary,).
        coefficients: coefficients of the regression, float (landmarks, words).
    """

    def __init__(self, mean, scale, landmarks, expected_words, rarity, coefficients):
        self.mean, self.scale, self.landmarks = mean, scale, landmarks
        self.expected_words, self.rarity, self.coefficients = expected_words, rarity, coefficients
        # The index of each word in `expected_words`; all other words get the index after the last one.
        places = np.full(len(rarity), len(expected_words), "int32")
        places[expected_words] = np.arange(len(expected_words))
        # Compiled functions refer to tensors, but copy arrays.
        tensors = [ops.convert_to_tensor(each) for each in (landmarks, coefficients, rarity, places)]
        self._landmarks, self._coefficients, self._rarity, self._places = tensors

    @classmethod
    def fit(cls, means, captions, vocabulary_size, seed=0):
        """Fit a consensus on training photos. Thousands of photos take seconds.

        Args:
            means: mean regions of the photos, float32 (photos, channels).
            captions: a list for each photo that holds one or more captions, each a list of word numbers.
            vocabulary_size: number of words, the special ones included.
            seed: random seed of the choice of landmarks.
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

        # Normal equations of the regression, whose inputs are the kernels with the landmarks: Williams and Seeger,
        # "Using the Nyström method to speed up kernel machines", 2001.
        between_landmarks = ops.convert_to_numpy(_kernel(landmarks, landmarks)).astype("float64")
        squares, products = _RIDGE * between_landmarks, np.zeros((len(chosen), len(expected)))
        for start in range(0, len(means), _BATCH_PHOTOS):
            batch = slice(start, start + _BATCH_PHOTOS)
            kernel = ops.convert_to_numpy(_kernel(directions[batch], landmarks))
            targets = [_caption_directions(each, rarity)[:, expected].mean(axis=0) for each in captions[batch]]
            squares += kernel.T @ kernel
            products += kernel.T @ np.stack(targets)
        squares[np.diag_indices_from(squares)] += 1e-3
        coefficients = _in_eight_bits("coefficients", np.linalg.solve(squares, products))
        return cls(mean, scale, landmarks, expected, rarity, coefficients)

    def expectations(self, regions):
        """Predict the tf-idf weight of each expected word.

        Args:
            regions: float32 (photos, regions, channels).

        Returns:
            Weights, float32 (photos, words).
        """
        directions = _directions(ops.mean(regions, axis=1), self.mean, self.scale)
        return _kernel(directions, self._landmarks) @ self._coefficients

    def likeness(self, regions, words):
        """Compute the similarity of captions to the prediction, about 0 to 1. The method can be compiled.

        Args:
            regions: float32 (photos, regions, channels).
            words: word numbers of captions, int (photos, captions, length), with END after the last word, then PAD.

        Returns:
            Likeness, float32 (photos, captions).
        """
        # The product of two vectors. The captions' vectors would have the length of the vocabulary; they are not built.
        rarity, places = (ops.take(each, words) for each in (self._rarity, self._places))
        expected = ops.pad(self.expectations(regions), ((0, 0), (0, 1)))
        expected = ops.take_along_axis(expected[:, None], places, axis=-1)
        same = ops.cast(words[..., :, None] == words[..., None, :], "float32")
        squares = ops.sum(same * rarity[..., None] ** 2, axis=(-2, -1))
        return ops.sum(expected * rarity, axis=-1) / ops.maximum(ops.sqrt(squares), 1e-12)

    def save(self, path):
        """Write the consensus as an .h5 file. Landmarks and coefficients take 8 bits per value.

        Raises:
            InputError: the file cannot be written.
        """
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
        """Read a file that `save` has written.

        Raises:
            OSError, KeyError: the file is missing or damaged.
        """
        with h5py.File(path, "r") as file:
            stored = [file[name] for name in _ARRAYS]
            return cls(*(each[...] * each.attrs["step"] if "step" in each.attrs else each[...] for each in stored))


class JointConsensus:
    """The consensus of an ensemble: the mean likeness over its models.

    Args:
        members: a list with the Consensus of each model, or None for a model without one.
        channels: a list with the number of region channels of each model.
    """

    def __init__(self, members, channels):
        self.members, self._ends = members, np.cumsum(channels)[:-1].tolist()

    def likeness(self, regions, words):
        """Compute the mean likeness, as `Consensus.likeness`.

        Args:
            regions: regions of all models, concatenated along the channels, float32 (photos, regions, channels).
            words: as for `Consensus.likeness`.
        """
        parts = ops.split(regions, self._ends, axis=-1)
        each = [member.likeness(part, words) for member, part in zip(self.members, parts, strict=True) if member]
        return sum(each) / len(each)


def _in_eight_bits(name, array):
    """Round an array to the values that its file will hold."""
    levels, step = quantise(array, _STEP_AXES[name])
    return levels * step


def _directions(means, mean, scale):
    """Standardised mean regions, float (photos, channels), scaled to length 1."""
    vectors = (means - mean) * scale
    return vectors / ops.maximum(ops.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _kernel(directions, landmarks):
    """Kernel of photos and landmarks, 0 to 1, float (photos, landmarks)."""
    return ops.exp(2 * _SHARPNESS * (ops.matmul(directions, ops.transpose(landmarks)) - 1))


def _caption_directions(captions, rarity):
    """Tf-idf vectors of captions, scaled to length 1, float (captions, vocabulary).

    Special words have rarity 0, so they do not count.

    Args:
        captions: a list of lists of word numbers.
        rarity: as for Consensus.
    """
    size, lengths = len(rarity), [len(words) for words in captions]
    cells = np.repeat(np.arange(len(captions)) * size, lengths) + np.concatenate([*captions, []]).astype(int)
    vectors = np.bincount(cells, minlength=len(captions) * size).reshape(-1, size).astype("float32") * rarity
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
