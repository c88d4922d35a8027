"""Caption scores as rewards: computed on word numbers, in milliseconds per batch."""

import math
from collections import Counter, defaultdict

import numpy as np

from utils.data.tokenizer import END, PAD

# n-grams of one to four words, and the standard deviation of the length penalty, as in the CIDEr paper.
_ORDERS, _SIGMA = 4, 6.0


class CaptionReward:
    """The sum of CIDEr-D and weighted METEOR.

    Captions that are rewarded by CIDEr-D alone leave out uncertain details. METEOR rewards above all how much of a
    reference is covered.

    Args:
        references: as for CiderReward.
        meteor_weight: factor of METEOR (about 0 to 1); 0 leaves METEOR out.
    """

    def __init__(self, references, meteor_weight):
        self._cider, self._meteor_weight = CiderReward(references), meteor_weight

    def __call__(self, references, captions):
        """Rewards, as `CiderReward.__call__` returns them."""
        rewards = self._cider(references, captions)
        if self._meteor_weight:
            for photo, (truths, written) in enumerate(zip(references, captions)):
                truths = [_words(truth) for truth in truths if truth[0] != PAD]
                for number, caption in enumerate(map(_words, written)):
                    # The best match counts, as in METEOR.
                    best = max((meteor(caption, truth) for truth in truths), default=0.0)
                    rewards[photo, number] += self._meteor_weight * best
        return rewards


class CiderReward:
    """CIDEr-D of captions, with document frequencies from the training references.

    Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image description evaluation", 2015, section 5. The end of a
    caption counts as a word, as in Luo, "A better variant of self-critical sequence training", 2020. Without it, the
    model learns captions that break off.

    Args:
        references: targets of all training photos, int (photos, references, length).
    """

    def __init__(self, references):
        self._frequency = Counter()
        for photo in references:
            self._frequency.update({n_gram for caption in photo for n_gram in _n_grams(caption)})
        self._log_photos = math.log(max(2, len(references)))

    def __call__(self, references, captions):
        """Rewards of captions, about 0 to 10.

        Args:
            references: int (batch, references, length), ended by <end>, padded with <pad>.
            captions: int (batch, captions, length), in the same form.

        Returns:
            Float32 (batch, captions).
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
        """tf-idf weights by n-gram, their norm for each n-gram order, and the caption's length in words."""
        counts = _n_grams(caption)
        weights = {g: count * (self._log_photos - math.log(self._frequency[g] or 1)) for g, count in counts.items()}
        norms = [0.0] * _ORDERS
        for n_gram, weight in weights.items():
            norms[len(n_gram) - 1] += weight * weight
        length = sum(count for n_gram, count in counts.items() if len(n_gram) == 1)
        return weights, [math.sqrt(norm) for norm in norms], length


def _words(caption, ends=0):
    """The words of a caption; the end token is included if `ends` is 1."""
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
    """METEOR of a caption against one reference, 0 to 1: matched words, other words, and word order.

    Banerjee and Lavie, "METEOR: an automatic metric for MT evaluation with improved correlation with human judgments",
    2005, section 2.2. Only identical words match; the METEOR program also matches stems and synonyms.

    Args:
        caption, reference: lists of words or of word numbers.
    """
    places = defaultdict(list)
    for place, word in enumerate(reference):
        places[word].append(place)
    matches, chunks, before = 0, 0, None
    for word in caption:
        free, place = places[word], None
        if free:
            # Prefer the place after the previous match, so that chunks are few.
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
