"""Beam search and sampling of captions, for batches of photos. A beam of one is greedy decoding."""

import math
from collections import namedtuple

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.model.consensus import WEIGHT
from utils.model.decoder import State
from utils.runtime import backend

# The captions of each photo, best first. With several groups: the captions of the
# first group, then those of the second group, and so on.
#   words: word numbers, int (batch, beam, length), with END after the last word, then PAD.
#   log_probabilities: log-probability of each caption, (batch, beam).
#   attention: attention weights of each word, (batch, beam, length, regions).
#   scores: the numbers that rank the captions, (batch, beam).
#   likeness: `Consensus.likeness` of each caption, (batch, beam); nan without a consensus.
Hypotheses = namedtuple("Hypotheses", "words log_probabilities attention scores likeness")

# Length of word sequences that may not occur twice in a caption. It prevents loops
# such as "a white and white and white …", and adds .003 to CIDEr on Flickr8k's
# validation photos (models/README.md).
UNREPEATED = 3

# Exponent of the length by which log-probabilities are divided. Without the division
# the shortest captions win. Best value on Flickr8k's validation photos (models/README.md).
LENGTH_PENALTY = 0.9

# Penalty, in log-probability, for a word that an earlier group has just chosen; the
# middle of the range that the paper recommends.
DIVERSITY = 0.5

# Log-probability of a forbidden word.
_IMPOSSIBLE = -1e9

# Penalty that ranks unfinished captions after all finished ones. It exceeds all differences of log-probabilities, and
# float32 still keeps the order of the unfinished captions.
_UNENDED = 1e3


def _take(tensor, parents):
    """Select `tensor[b, parents[b, k]]` for a tensor (batch, beam, …) and parents (batch, beam)."""
    index = ops.reshape(parents, (*parents.shape, *[1] * (len(tensor.shape) - 2)))
    return ops.take_along_axis(tensor, index, axis=1)


def _per_word(log_probabilities, words, length_penalty):
    """Log-probabilities (batch, beam) divided by (number of words + 1) ** length_penalty."""
    lengths = ops.sum(ops.cast((words != PAD) & (words != END), "float32"), axis=-1)
    return log_probabilities / (lengths + 1) ** length_penalty


def never_written(vocabulary_size):
    """Mask of the special words that captions never contain, boolean (vocabulary,)."""
    numbers = ops.arange(vocabulary_size)
    return (numbers == PAD) | (numbers == START) | (numbers == UNKNOWN)


def forbidden_words(vocabulary_size, last):
    """Which hypotheses have ended, and which words may not follow.

    Args:
        vocabulary_size: number of words.
        last: last word of each hypothesis, int (batch, beam).

    Returns:
        Ended, boolean (batch, beam, 1), and forbidden words, boolean (batch, beam, vocabulary). Only PAD may follow
        the end. A caption may not end before its first word.
    """
    numbers = ops.arange(vocabulary_size)
    ended = ops.expand_dims((last == END) | (last == PAD), -1)
    empty = ops.expand_dims(last == START, -1) & (numbers == END)
    return ended, ops.where(ended, numbers != PAD, never_written(vocabulary_size) | empty)


def repeating_words(words, position, vocabulary_size, length):
    """Mask of the next words that would repeat a sequence of `length` words.

    Args:
        words: the hypotheses' words, int (batch, beam, max_words), PAD from `position` on.
        position: number of words written.
        vocabulary_size: number of words in the vocabulary.
        length: length of the sequences that may not occur twice.

    Returns:
        Boolean (batch, beam, vocabulary).
    """
    before, room = length - 1, words.shape[2] - length + 1
    last = ops.slice(words, (0, 0, ops.maximum(position - before, 0)), (*ops.shape(words)[:2], before))
    starts = ops.stack([words[:, :, i : i + room] for i in range(before)], axis=-1)
    following = words[:, :, before:]
    again = ops.all(starts == last[:, :, None], axis=-1) & (following != PAD)
    return ops.any((following[..., None] == ops.arange(vocabulary_size)) & again[..., None], axis=2)


def _extensions(candidates, groups, diversity):
    """Choose the best extensions by one word for each group of hypotheses.

    Vijayakumar et al., "Diverse beam search", 2018, equation 3 with Hamming
    diversity: a word is penalised by `diversity` for each hypothesis of an earlier
    group that has just chosen it. The penalty affects the choice, not the scores.

    Args:
        candidates: scores of all extensions, float (batch, groups * beam, vocabulary).
        groups: number of groups.
        diversity: penalty in log-probability.

    Returns:
        Scores, parents and words of the chosen extensions, each (batch, groups * beam).
    """
    batch, size, vocabulary = candidates.shape
    beam, cost = size // groups, ops.zeros((batch, vocabulary), dtype="float32")
    chosen = []
    for group in range(groups):
        own = ops.reshape(candidates[:, group * beam : (group + 1) * beam], (batch, -1))
        _, best = ops.top_k(own - ops.tile(cost, (1, beam)), beam)
        words = ops.cast(best % vocabulary, "int32")
        chosen.append((ops.take_along_axis(own, best, axis=1), best // vocabulary + group * beam, words))
        if group + 1 < groups:
            # No penalty for PAD: a caption may end although one of an earlier group has ended.
            taken = ops.sum(ops.one_hot(words, vocabulary, dtype="float32"), axis=1)
            cost += diversity * ops.where(ops.arange(vocabulary) == PAD, 0.0, taken)
    return [ops.concatenate(parts, axis=1) for parts in zip(*chosen)]


def beam_search(
    decoder,
    regions,
    beam_size,
    max_words,
    length_penalty=LENGTH_PENALTY,
    unrepeated=UNREPEATED,
    groups=1,
    diversity=DIVERSITY,
    consensus=None,
):
    """Find the best captions of each photo by beam search.

    All photos and hypotheses advance together. Keys are computed once per photo. A
    finished hypothesis keeps its place in the beam. A hypothesis without an end
    after `max_words` words may break off, as in "… in front of a". It ranks after
    all finished ones and is not removed, so each photo has a caption.

    Args:
        decoder: an AttentionDecoder.
        regions: float (batch, regions, channels); the batch size must be static.
        beam_size: hypotheses kept per photo and group; 1 is greedy decoding.
        max_words: maximum number of words of a caption.
        length_penalty: exponent of the ranking: log-probability / (words + 1) **
            length_penalty (Wu et al., "Google's neural machine translation system",
            2016, section 7, without its constant 5). Ignored with a consensus.
        unrepeated: length, 2 or more, of word sequences that may not occur twice in a
            caption (Paulus et al., "A deep reinforced model for abstractive
            summarization", 2018, section 2.5); 0 allows all repetitions.
        groups: number of beams that differ from each other; the first one equals
            ordinary beam search.
        diversity: penalty that makes the groups differ, see `_extensions`.
        consensus: a Consensus that helps to rank: log-probability / (words + 1) +
            WEIGHT * likeness. None ranks by log-probability.

    Returns:
        Hypotheses with `groups * beam_size` captions per photo and length `max_words`.
    """
    batch, places = regions.shape[0], regions.shape[1]
    beam_size, group_size = groups * beam_size, beam_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, beam_size)
    words = ops.full((batch, beam_size, max_words), PAD, dtype="int32")
    attention = ops.zeros((batch, beam_size, max_words, places), dtype="float32")
    # All hypotheses of a group start equal, so only the first one may be extended in the first step.
    scores = ops.tile(ops.where(ops.arange(beam_size) % group_size == 0, 0.0, _IMPOSSIBLE)[None], (batch, 1))
    last = ops.full((batch, beam_size), START, dtype="int32")

    def unfinished(position, last, *_):
        return (position < max_words) & ops.any((last != END) & (last != PAD))

    def extend(position, last, scores, state, words, attention):
        logits, new_state, maps = decoder.step(last, State(*state), memory)
        ended, forbidden = forbidden_words(decoder.vocabulary_size, last)
        if unrepeated:
            forbidden |= repeating_words(words, position, decoder.vocabulary_size, unrepeated) & ~ended
        maps = ops.where(ended, 0.0, maps)
        log_probabilities = ops.where(ended, 0.0, ops.log_softmax(logits, axis=-1))
        candidates = scores[..., None] + ops.where(forbidden, _IMPOSSIBLE, log_probabilities)
        scores, parents, last = _extensions(candidates, groups, diversity)
        here = ops.arange(max_words) == position
        words = ops.where(here, last[..., None], _take(words, parents))
        attention = ops.where(here[:, None], _take(maps, parents)[:, :, None], _take(attention, parents))
        return position + 1, last, scores, tuple(_take(x, parents) for x in new_state), words, attention

    _, last, scores, _, words, attention = ops.while_loop(
        unfinished, extend, (ops.convert_to_tensor(0), last, scores, tuple(state), words, attention)
    )
    ranks = _per_word(scores, words, 1.0 if consensus else length_penalty)
    likeness = consensus.likeness(regions, words) if consensus else ops.full_like(scores, math.nan)
    if consensus:
        ranks += WEIGHT * likeness
    ranks = ops.where((last == END) | (last == PAD), ranks, ranks - _UNENDED)
    _, order = ops.top_k(ops.reshape(ranks, (batch, groups, group_size)), group_size)
    order = ops.reshape(order + ops.arange(groups)[:, None] * group_size, (batch, beam_size))
    return Hypotheses(*(_take(each, order) for each in (words, scores, attention, ranks, likeness)))


def sample(decoder, regions, count, max_words, seed, temperature=1.0, unrepeated=0):
    """Sample captions word by word from the model's probabilities.

    Args:
        decoder: an AttentionDecoder.
        regions: float (batch, regions, channels); the batch size must be static.
        count: captions sampled per photo.
        max_words: maximum number of words of a caption.
        seed: a keras.random.SeedGenerator.
        temperature: divisor of the logits; below 1 likely words become likelier.
        unrepeated: as for `beam_search`.

    Returns:
        Hypotheses in the order of sampling, with length `max_words + 1` for the words
        and END. Log-probabilities and scores are those at temperature 1.
    """
    batch, places, size = regions.shape[0], regions.shape[1], decoder.vocabulary_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, count)
    length = max_words + 1
    words = ops.full((batch, count, length), PAD, dtype="int32")
    attention = ops.zeros((batch, count, length, places), dtype="float32")
    scores = ops.zeros((batch, count), dtype="float32")
    last = ops.full((batch, count), START, dtype="int32")
    # The argmax of logits plus Gumbel noise is a sample of the softmax: Maddison et al., "A* sampling", 2014. The noise
    # is computed before the loop, because loops of JAX cannot change a random state.
    noise = -ops.log(-ops.log(keras.random.uniform((length, batch, count, size), 1e-7, 1.0, seed=seed)))

    def unfinished(position, last, *_):
        return (position < length) & ops.any((last != END) & (last != PAD))

    def extend(position, last, state, scores, words, attention):
        logits, state, maps = decoder.step(last, State(*state), memory)
        ended, forbidden = forbidden_words(size, last)
        if unrepeated:
            forbidden |= repeating_words(words, position, size, unrepeated) & ~ended
        allowed = ops.where(forbidden, _IMPOSSIBLE, logits) / temperature
        last = ops.argmax(allowed + ops.take(noise, position, axis=0), axis=-1)
        log_probabilities = ops.where(ended, 0.0, ops.log_softmax(logits, axis=-1))
        scores += ops.take_along_axis(log_probabilities, last[..., None], axis=-1)[..., 0]
        here = ops.arange(length) == position
        words = ops.where(here, last[..., None], words)
        attention = ops.where(here[:, None], ops.where(ended, 0.0, maps)[:, :, None], attention)
        return position + 1, last, tuple(state), scores, words, attention

    _, _, _, scores, words, attention = ops.while_loop(
        unfinished, extend, (ops.convert_to_tensor(0), last, tuple(state), scores, words, attention)
    )
    ranks = _per_word(scores, words, LENGTH_PENALTY)
    return Hypotheses(words, scores, attention, ranks, ops.full_like(scores, math.nan))


class Search:
    """A search that is compiled once and accepts batches of different sizes.

    Args:
        decoder, beam_size, max_words: as for `beam_search`.
        batch_size: photos decoded together. Smaller batches are padded to this size,
            so that the search is compiled only once.
        method: `beam_search` or `sample`.
        options: further arguments of the method.
    """

    def __init__(self, decoder, beam_size, max_words, batch_size=64, method=beam_search, **options):
        self.batch_size, self._generator = batch_size, options.get("seed")
        self._search = backend.compiled(
            lambda regions: method(decoder, regions, beam_size, max_words, **options),
            decoder.variables,
            [options["seed"].state] if "seed" in options else [],
        )

    def reseed(self, seed):
        """Restart the sampling with a seed. A beam search has no random state, so nothing changes."""
        if self._generator is not None:
            self._generator.state.assign(keras.random.SeedGenerator(seed).state)

    def __call__(self, regions):
        """Search captions.

        Args:
            regions: float (photos, regions, channels), at most `batch_size` photos.

        Returns:
            Hypotheses whose fields are NumPy arrays.
        """
        count = len(regions)
        padded = np.pad(np.asarray(regions, "float32"), [[0, self.batch_size - count], [0, 0], [0, 0]])
        return Hypotheses(*(each[:count] for each in self._search(padded)))
