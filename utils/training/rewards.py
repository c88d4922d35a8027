"""Compute rewards for self-critical training: fast versions of CIDEr-D and METEOR, on word numbers."""

import math
from collections import Counter, defaultdict

import numpy as np

from utils.data.tokenizer import END, PAD

# Longest n-grams in words, and standard deviation of the length penalty. Both are those of the CIDEr paper.
_ORDERS, _SIGMA = 4, 6.0


class CaptionReward:
    """Compute the rewards of captions for self-critical training: CIDEr-D plus `meteor_weight` × METEOR.

    With CIDEr-D alone, a model learns to leave out uncertain details. METEOR mainly rewards captions that have many
    words of a reference.

    Args:
        references: word numbers of the captions that people wrote for all training photos, int (photos, references,
            length), padded with <pad>.
        meteor_weight: factor of METEOR, a score from 0 to 1. With the factor 0, METEOR is left out.
    """

    def __init__(self, references, meteor_weight):
        self._cider, self._meteor_weight = CiderReward(references), meteor_weight

    def __call__(self, references, captions):
        """Compute the rewards of captions.

        Args:
            references: word numbers of each photo's captions by people, int (batch, references, length). Each one ends
                with <end> and is padded with <pad>.
            captions: word numbers of the captions that get a reward, int (batch, captions, length). Each one ends with
                <end> and is padded with <pad>.

        Returns:
            The reward of each caption, CIDEr-D plus `meteor_weight` × METEOR: from 0 to (10 + meteor_weight), float32
            (batch, captions).
        """
        rewards = self._cider(references, captions)
        if self._meteor_weight:
            for photo, (truths, written) in enumerate(zip(references, captions)):
                truths = [_words(truth) for truth in truths if truth[0] != PAD]
                for number, caption in enumerate(map(_words, written)):
                    # METEOR takes the reference with the highest score.
                    best = max((meteor(caption, truth) for truth in truths), default=0.0)
                    rewards[photo, number] += self._meteor_weight * best
        return rewards


class CiderReward:
    """Compute CIDEr-D of captions, with document frequencies from the references of the training photos.

    CIDEr-D is the score of Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image description evaluation", 2015,
    section 5. The end of a caption counts as a word, as in Luo, "A better variant of self-critical sequence training",
    2020. Otherwise the model would learn captions that break off.

    Args:
        references: word numbers of the captions that people wrote for all training photos, int (photos, references,
            length), padded with <pad>.
    """

    def __init__(self, references):
        self._frequency = Counter()
        for photo in references:
            self._frequency.update({n_gram for caption in photo for n_gram in _n_grams(caption)})
        self._log_photos = math.log(max(2, len(references)))

    def __call__(self, references, captions):
        """Compute the CIDEr-D of captions.

        Args:
            references: word numbers of each photo's captions by people, int (batch, references, length). Each one ends
                with <end> and is padded with <pad>.
            captions: word numbers of the captions that get a reward, int (batch, captions, length). Each one ends with
                <end> and is padded with <pad>.

        Returns:
            CIDEr-D, 0 to 10, float32 (batch, captions).
        """
        rewards = np.zeros(captions.shape[:2], "float32")
        for photo, (truths, written) in enumerate(zip(references, captions)):
            truths = [self._vector(truth) for truth in truths if truth[0] != PAD]
            for number, caption in enumerate(written):
                if truths:
                    vector = self._vector(caption)
                    rewards[photo, number] = sum(_similarity(vector, truth) for truth in truths) / len(truths)
        return rewards

    def _vector(self, caption):
        """Return the tf-idf vector of a caption as (weights, norms, length).

        `caption` is an array of word numbers. `weights` is a dict from n-gram to tf-idf weight. `norms` has the
        Euclidean norms of the weights of all n-grams with 1, 2, 3 and 4 words. `length` is the number of words,
        including <end>.
        """
        counts = _n_grams(caption)
        weights = {g: count * (self._log_photos - math.log(self._frequency[g] or 1)) for g, count in counts.items()}
        norms = [0.0] * _ORDERS
        for n_gram, weight in weights.items():
            norms[len(n_gram) - 1] += weight * weight
        length = sum(count for n_gram, count in counts.items() if len(n_gram) == 1)
        return weights, [math.sqrt(norm) for norm in norms], length


def _words(caption, ends=0):
    """Return the word numbers of a caption up to <end>, as a list. <end> is included if `ends` is 1, not if it is 0.

    `caption` is an int array, padded with PAD.
    """
    words = [int(word) for word in caption if word != PAD]
    return words[: words.index(END) + ends] if END in words else words


def _n_grams(caption):
    words = _words(caption, ends=1)
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDERS + 1) for i in range(len(words) - n + 1))


def _similarity(caption, reference):
    (weights, norms, length), (truth, truth_norms, truth_length) = caption, reference
    products = [0.0] * _ORDERS
    for n_gram, weight in weights.items():
        other = truth.get(n_gram)
        if other is not None:
            products[len(n_gram) - 1] += min(weight, other) * other
    cosines = (p / (a * b) for p, a, b in zip(products, norms, truth_norms) if a and b)
    return 10 / _ORDERS * sum(cosines) * math.exp(-((length - truth_length) ** 2) / (2 * _SIGMA**2))


def meteor(caption, reference):
    """Compute the METEOR score of a caption against one reference.

    METEOR is described in Banerjee and Lavie, "METEOR: an automatic metric for MT evaluation with improved correlation
    with human judgments", 2005, section 2.2. Here only identical words match. The METEOR program also matches stems and
    synonyms.

    Args:
        caption, reference: lists of words or of word numbers.

    Returns:
        The score, 0 to 1.
    """
    places = defaultdict(list)
    for place, word in enumerate(reference):
        places[word].append(place)
    matches, chunks, before = 0, 0, None
    for word in caption:
        free, place = places[word], None
        if free:
            # Prefer the place after the previous match, so that matched words form few chunks.
            place = before + 1 if before is not None and before + 1 in free else free[0]
            free.remove(place)
            matches += 1
            chunks += before is None or place != before + 1
        before = place
    if not matches:
        return 0.0
    precision, recall = matches / len(caption), matches / len(reference)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)
