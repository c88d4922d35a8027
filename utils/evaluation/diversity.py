"""Compute statistics of captions: length, vocabulary, repetition and novelty."""

import itertools
from collections import Counter, defaultdict

import numpy as np

from utils.data.penn_treebank import tokenize
from utils.evaluation.metrics import bleu_of_counts
from utils.model.caption_faults import fault

_ORDERS = 4


def describe(captions, training=None):
    """Compute statistics of captions.

    Args:
        captions: list of strings.
        training: training captions, a list of strings; with None, the statistic `new` is left out.

    Returns:
        A dict:

        - `words`: mean number of words of a caption.
        - `vocabulary`: number of different words.
        - `distinct_captions`: number of different captions.
        - `most_frequent`: share of the captions that are equal to the most frequent caption.
        - `distinct_1`, `distinct_2`: number of different words divided by the number of all words, and the same for
          pairs of neighbouring words (Li et al., 2016).
        - `self_bleu`: BLEU-4 of the captions against each other (Zhu et al., 2018).
        - `twice`, `breaks_off`: shares of the captions that name the same thing twice, or stop in the middle.
        - `new`: share of the captions that are not training captions.
    """
    sentences = [tuple(tokenize(text)) for text in captions]
    words = [word for sentence in sentences for word in sentence]
    pairs = [pair for sentence in sentences for pair in itertools.pairwise(sentence)]
    repeats = Counter(sentences)
    result = {
        "words": len(words) / len(sentences),
        "vocabulary": len(set(words)),
        "distinct_captions": len(repeats),
        "most_frequent": repeats.most_common(1)[0][1] / len(sentences),
        "distinct_1": len(set(words)) / max(1, len(words)),
        "distinct_2": len(set(pairs)) / max(1, len(pairs)),
        "self_bleu": self_bleu(sentences),
    }
    faults = Counter(fault(sentence) for sentence in sentences)
    result |= {name: faults[name.replace("_", " ")] / len(sentences) for name in ("twice", "breaks_off")}
    if training is not None:
        seen = {tuple(tokenize(text)) for text in training}
        result["new"] = sum(sentence not in seen for sentence in sentences) / len(sentences)
    return result


def self_bleu(sentences):
    """Compute how similar sentences are: their corpus BLEU-4, where the references of a sentence are all others.

    For each n-gram, BLEU needs the largest count in any other sentence. To find it, the two largest counts of each
    n-gram are enough.

    Args:
        sentences: list of tuples of words.

    Returns:
        A float, 0 to 1. It is 1 if all sentences are equal, and 0 for a single sentence.
    """
    if len(sentences) < 2:
        return 0.0
    counts = [_n_grams(sentence) for sentence in sentences]
    largest = defaultdict(lambda: (0, None, 0))  # largest count, its sentence, second largest count
    for index, counted in enumerate(counts):
        for n_gram, count in counted.items():
            most, owner, second = largest[n_gram]
            largest[n_gram] = (count, index, most) if count > most else (most, owner, max(second, count))
    lengths = Counter(len(sentence) for sentence in sentences)
    rows = np.zeros((len(sentences), 10))
    for index, (sentence, counted) in enumerate(zip(sentences, counts)):
        for n_gram, count in counted.items():
            most, owner, second = largest[n_gram]
            rows[index, len(n_gram) - 1] += min(count, second if owner == index else most)
            rows[index, _ORDERS + len(n_gram) - 1] += count
        own = len(sentence)
        others = (length for length, count in lengths.items() if count > (length == own))
        rows[index, 8:] = own, min((abs(length - own), length) for length in others)[1]
    return float(bleu_of_counts(rows.sum(0, keepdims=True))[3][0])


def _n_grams(sentence):
    return Counter(sentence[i : i + n] for n in range(1, _ORDERS + 1) for i in range(len(sentence) - n + 1))
