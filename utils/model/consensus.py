"""The class `Consensus`: it predicts the words that people would use for a photo, and compares captions with them."""

import h5py
import numpy as np
from keras import ops

from utils.data.tokenizer import SPECIAL_WORDS
from utils.features.quantised_weights import quantise
from utils.files import replacing

# The score of a caption is its mean log-probability per word plus WEIGHT times its likeness. The value was chosen on
# Flickr8k's validation photos (docs/experiments.md).
WEIGHT = 6.0

# Maximum number of landmarks (training photos with which each new photo is compared), and maximum number of words whose
# weights are predicted. The file holds _LANDMARKS × (channels + _WORDS) values of 8 bits, compressed.
_LANDMARKS, _WORDS = 2048, 1024

# The direction of a photo is the mean of the photo's region vectors, standardised and scaled to length 1. The kernel of
# two photos is exp(-_SHARPNESS · d²), where d is the distance between their directions. _RIDGE is the penalty of the
# ridge regression.
_SHARPNESS, _RIDGE = 1.5, 0.4

# Number of photos that `Consensus.fit` processes at a time.
_BATCH_PHOTOS = 1024

_ARRAYS = ("mean", "scale", "landmarks", "expected_words", "rarity", "coefficients")

# The arrays that are stored with 8 bits per value; for each, the axis along which all values share one quantisation
# step.
_STEP_AXES = {"landmarks": 1, "coefficients": 0}


class Consensus:
    """Predicts from a photo which words people would use for it, and measures how well a caption agrees with them.

    A caption becomes a tf-idf vector (rare words weigh more), scaled to length 1.
    The method `expectations` predicts, by kernel ridge regression, the mean of the
    vectors of human captions. Its input is the mean of the photo's region vectors.
    The *likeness* of a caption is the dot product of the caption's vector and the
    prediction. If the prediction were exact, the likeness would equal CIDEr with
    single words: Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image
    description evaluation", 2015, equation 2.

    Devlin et al., "Exploring nearest neighbor approaches for image captioning",
    2015, compare a caption with the captions of similar training photos instead.
    The regression is used here, because it does not need to store these captions.

    Args:
        mean, scale: two vectors, float (channels,), that standardise the mean of a photo's region vectors:
            (vector - mean) * scale.
        landmarks: a random sample of training photos, with which each new photo is compared (Nyström method). For
            each one: the mean of its region vectors, standardised and scaled to length 1, float (landmarks, channels).
        expected_words: the word numbers whose weights are predicted, int (words,).
        rarity: for each word of the vocabulary: log(number of training photos / number of training photos with this
            word in a caption), float (vocabulary,). It is 0 for the special words.
        coefficients: coefficients of the regression, float (landmarks, words).
    """

    def __init__(self, mean, scale, landmarks, expected_words, rarity, coefficients):
        self.mean, self.scale, self.landmarks = mean, scale, landmarks
        self.expected_words, self.rarity, self.coefficients = expected_words, rarity, coefficients
        # For each word of the vocabulary: its index in `expected_words`. Words that are not predicted get the index
        # after the last one.
        places = np.full(len(rarity), len(expected_words), "int32")
        places[expected_words] = np.arange(len(expected_words))
        # Tensors, because a compiled function would store its own copy of each NumPy array.
        tensors = [ops.convert_to_tensor(each) for each in (landmarks, coefficients, rarity, places)]
        self._landmarks, self._coefficients, self._rarity, self._places = tensors

    @classmethod
    def fit(cls, means, captions, vocabulary_size, seed=0):
        """Fit a consensus, which predicts the words that people would use for a photo.

        Thousands of photos take seconds.

        Args:
            means: for each photo, the mean of its region vectors, float32 (photos, channels).
            captions: for each photo, a list of one or more captions. A caption is a list of word numbers.
            vocabulary_size: number of words of the vocabulary, the special words included.
            seed: random seed that selects the landmarks, the training photos with which each new photo is compared.

        Returns:
            A Consensus.
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

        # The normal equations of the regression. The inputs of a photo are its kernels with all landmarks: Williams and
        # Seeger, "Using the Nyström method to speed up kernel machines", 2001.
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
        """Predict the mean of the tf-idf vectors that human captions of each photo would have.

        Args:
            regions: regions of the photos, float32 (photos, regions, channels).

        Returns:
            The predicted weight of each word of `expected_words`, float32 (photos, words).
        """
        directions = _directions(ops.mean(regions, axis=1), self.mean, self.scale)
        return _kernel(directions, self._landmarks) @ self._coefficients

    def likeness(self, regions, words):
        """Compute the likeness of captions: how well each one agrees with the words that people would use.

        The beam search calls this method to rank captions, and is compiled together with it.

        Args:
            regions: regions of the photos, float32 (photos, regions, channels).
            words: word numbers of captions, int (photos, captions, length), with END after the last word, then PAD.

        Returns:
            The likeness, about 0 to 1, float32 (photos, captions).
        """
        # The dot product uses only the words of the caption. A tf-idf vector of the whole vocabulary would be slower.
        rarity, places = (ops.take(each, words) for each in (self._rarity, self._places))
        expected = ops.pad(self.expectations(regions), ((0, 0), (0, 1)))
        expected = ops.take_along_axis(expected[:, None], places, axis=-1)
        same = ops.cast(words[..., :, None] == words[..., None, :], "float32")
        squares = ops.sum(same * rarity[..., None] ** 2, axis=(-2, -1))
        return ops.sum(expected * rarity, axis=-1) / ops.maximum(ops.sqrt(squares), 1e-12)

    def detail(self, regions):
        """Compute how much the regions of each photo differ from each other.

        Pictures without content, such as noise or a single colour, have regions that are nearly equal. The unit is how
        much the mean regions of different training photos differ: 0 means as much as they do. Nearly all photos have
        more than 0.3, pictures without content less than 0.

        Args:
            regions: regions of the photos, float32 (photos, regions, channels).

        Returns:
            The detail, float32 (photos,): the logarithm of the standard deviation over the photo's regions. The regions
            are standardised, and their variances are averaged over the channels before the root is taken.
        """
        variances = ops.mean(ops.var(regions, axis=1) * ops.square(self.scale), axis=-1)
        return ops.log(ops.maximum(variances, 1e-12)) / 2

    def save(self, path):
        """Write the consensus to an .h5 file. `landmarks` and `coefficients` take 8 bits per value.

        Args:
            path: the file, a Path. An existing file is replaced.

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
        """Read a file that the method `save` has written.

        Args:
            path: the file, a str or Path.

        Returns:
            A Consensus.

        Raises:
            OSError, KeyError: the file is missing or damaged.
        """
        with h5py.File(path, "r") as file:
            stored = [file[name] for name in _ARRAYS]
            return cls(*(each[...] * each.attrs["step"] if "step" in each.attrs else each[...] for each in stored))


def _in_eight_bits(name, array):
    """Round an array to the values that it will have after saving with 8 bits per value.

    Args:
        name: the array's name, "landmarks" or "coefficients".
        array: a float array of two axes.

    Returns:
        A float array of the same shape.
    """
    levels, step = quantise(array, _STEP_AXES[name])
    return levels * step


def _directions(means, mean, scale):
    """Standardise one vector per photo, and scale it to length 1.

    Args:
        means: for each photo, the mean of its region vectors, float (photos, channels).
        mean: the vector that is subtracted, float (channels,).
        scale: the vector by which the difference is multiplied, float (channels,).

    Returns:
        Vectors of length 1, float (photos, channels).
    """
    vectors = (means - mean) * scale
    return vectors / ops.maximum(ops.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _kernel(directions, landmarks):
    """Compute how similar each photo is to each landmark. Landmarks are training photos.

    The result is the Gaussian kernel exp(-_SHARPNESS · d²), where d is the distance of two vectors of length 1.

    Args:
        directions: the vector of each photo, of length 1, float (photos, channels).
        landmarks: the vector of each landmark, of length 1, float (landmarks, channels).

    Returns:
        The kernel, 0 to 1, float (photos, landmarks).
    """
    return ops.exp(2 * _SHARPNESS * (ops.matmul(directions, ops.transpose(landmarks)) - 1))


def _caption_directions(captions, rarity):
    """Compute the tf-idf vectors of captions, scaled to length 1.

    Args:
        captions: a list of captions. A caption is a list of word numbers.
        rarity: the weight of each word: larger for rare words, 0 for special words such as <end>; float (vocabulary,).

    Returns:
        The vectors, float (captions, vocabulary). For a caption that has only words of weight 0, the vector is 0.
    """
    size, lengths = len(rarity), [len(words) for words in captions]
    cells = np.repeat(np.arange(len(captions)) * size, lengths) + np.concatenate([*captions, []]).astype(int)
    vectors = np.bincount(cells, minlength=len(captions) * size).reshape(-1, size).astype("float32") * rarity
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
