"""Statistics of captions: length, vocabulary, repetition, novelty."""

import itertools
from collections import Counter, defaultdict

import numpy as np

from utils.data.penn_treebank import tokenize
from utils.evaluation.metrics import bleu_of_counts
from utils.model.caption_faults import fault

_ORDERS = 4


def describe(captions, training=None):
    """Statistics of captions.

    Args:
        captions: list of sentences.
        training: training captions, for novelty; None leaves `new` out.

    Returns:
        A dict: `words` (mean length), `vocabulary` (number of different words), `distinct_captions` (number),
        `most_frequent` (share of the most frequent caption), `distinct_1` and `distinct_2` (share of different words
        and word pairs; Li et al., 2016), `self_bleu` (BLEU-4 of each caption against all others; Zhu et al., 2018),
        `twice` and `breaks_off` (share of captions with that fault, see `fault`), `new` (share of captions that
        are not training captions).
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
    """Corpus BLEU-4 of every sentence against all others; 1 if all are equal.

    An n-gram matches as often as it occurs in one other sentence at most. So only the two largest counts of each n-gram
    are needed.

    Args:
        sentences: list of tuples of words.
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
