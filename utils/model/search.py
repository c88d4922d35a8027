"""Functions that find captions of photos with a decoder, by beam search or by random sampling."""

import math
from collections import namedtuple

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.model.consensus import WEIGHT
from utils.model.decoder import State
from utils.runtime import backend

# The result of a search: the captions of each photo, best first. `beam_search` with
# several groups gives the captions of the first group, then those of the second group,
# and so on; each group is sorted, best first. `sample` does not sort.
#   words: word numbers, int (batch, beam, length), with END after the last word, then PAD.
#   log_probabilities: log-probability of each caption, (batch, beam).
#   attention: attention weights of each word, (batch, beam, length, regions).
#   scores: the numbers that rank the captions, (batch, beam).
#   likeness: `Consensus.likeness` of each caption, (batch, beam); NaN without a consensus.
#   detail: `Consensus.detail` of each photo, (batch,); NaN without a consensus.
Hypotheses = namedtuple("Hypotheses", "words log_probabilities attention scores likeness detail")

# Length of word sequences that may not occur twice in a caption. The rule prevents
# loops such as "a white and white and white …".
UNREPEATED = 3

# A log-probability is divided by (number of words + 1) ** LENGTH_PENALTY. Without the
# division, the shortest captions have the best scores. This value gave the best CIDEr on
# Flickr8k's validation photos (docs/experiments.md).
LENGTH_PENALTY = 0.9

# Penalty of diverse beam search: it is subtracted from the log-probability of a word
# that an earlier group has chosen at the same position. The value is the middle of the
# range that Vijayakumar et al., 2018, recommend.
DIVERSITY = 0.5

# Log-probability of a forbidden word.
_IMPOSSIBLE = -1e9

# Penalty that ranks unfinished captions after all finished ones. It is larger than all differences of scores, but small
# enough that float32 keeps the order of the unfinished captions.
_UNENDED = 1e3


def _take(tensor, parents):
    """Select hypotheses (captions in the search) of each photo by their indices.

    Args:
        tensor: a tensor (batch, beam, …) with an element for each hypothesis.
        parents: the indices along the axis `beam`, int (batch, chosen).

    Returns:
        A tensor (batch, chosen, …) whose element [b, k] is `tensor[b, parents[b, k]]`.
    """
    index = ops.reshape(parents, (*parents.shape, *[1] * (len(tensor.shape) - 2)))
    return ops.take_along_axis(tensor, index, axis=1)


def _per_word(log_probabilities, words, length_penalty):
    """Divide the log-probabilities of captions by (number of words + 1) ** length_penalty.

    Args:
        log_probabilities: float (batch, beam).
        words: word numbers of the captions, int (batch, beam, length). PAD and END do not count.
        length_penalty: the exponent, a float.

    Returns:
        A float tensor (batch, beam).
    """
    lengths = ops.sum(ops.cast((words != PAD) & (words != END), "float32"), axis=-1)
    return log_probabilities / (lengths + 1) ** length_penalty


def never_written(vocabulary_size):
    """Return a mask of the special words that captions never contain: <pad>, <start> and <unk>.

    Args:
        vocabulary_size: number of words of the vocabulary.

    Returns:
        True for these words, boolean (vocabulary,).
    """
    numbers = ops.arange(vocabulary_size)
    return (numbers == PAD) | (numbers == START) | (numbers == UNKNOWN)


def forbidden_words(vocabulary_size, last):
    """Find the hypotheses (captions in the search) that have ended, and the words that may not come next.

    After the end, only PAD may come. A caption may not end before its first word.

    Args:
        vocabulary_size: number of words of the vocabulary.
        last: number of the last word of each hypothesis, int (batch, beam).

    Returns:
        Two masks: True for hypotheses that have ended, boolean (batch, beam, 1); True for words that may not come
        next, boolean (batch, beam, vocabulary).
    """
    numbers = ops.arange(vocabulary_size)
    ended = ops.expand_dims((last == END) | (last == PAD), -1)
    empty = ops.expand_dims(last == START, -1) & (numbers == END)
    return ended, ops.where(ended, numbers != PAD, never_written(vocabulary_size) | empty)


def repeating_words(words, position, vocabulary_size, length):
    """Find the words that would make a caption repeat a sequence of words if they came next.

    Args:
        words: word numbers of the hypotheses (captions in the search), int (batch, beam, max_words), PAD from
            `position` on.
        position: number of words written so far.
        vocabulary_size: number of words of the vocabulary.
        length: length, 2 or more, of the sequences that may not occur twice.

    Returns:
        True for each word that would complete a second copy of a sequence, boolean (batch, beam, vocabulary).
    """
    before, room = length - 1, words.shape[2] - length + 1
    last = ops.slice(words, (0, 0, ops.maximum(position - before, 0)), (*ops.shape(words)[:2], before))
    starts = ops.stack([words[:, :, i : i + room] for i in range(before)], axis=-1)
    following = words[:, :, before:]
    again = ops.all(starts == last[:, :, None], axis=-1) & (following != PAD)
    return ops.any((following[..., None] == ops.arange(vocabulary_size)) & again[..., None], axis=2)


def _extensions(candidates, groups, diversity):
    """Choose the best extensions for each group of hypotheses. An extension is a hypothesis plus one word.

    The choice follows Vijayakumar et al., "Diverse beam search", 2018, equation 3 with
    Hamming diversity. Hypotheses of earlier groups may have chosen the same word at this
    position. For each of them, `diversity` is subtracted from the score of the word. The
    penalty affects the choice. It is not part of the returned scores.

    Args:
        candidates: scores of all possible extensions, float (batch, groups * beam, vocabulary).
        groups: number of groups. Each has `beam` hypotheses.
        diversity: the penalty, a float.

    Returns:
        Three tensors (batch, groups * beam): the scores of the chosen extensions; the
        indices of the hypotheses that they extend; the numbers of the added words.
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
            # PAD has no penalty: ended captions continue with PAD in all groups.
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

    Hypotheses are the captions that the search considers. The hypotheses of all photos
    are extended together, one word at a time. A finished hypothesis stays in the beam. A
    hypothesis that has not ended after `max_words` words may break off, as in "… in
    front of a". Such a hypothesis ranks after all finished ones. It is not removed,
    so that each photo has a caption.

    Args:
        decoder: an AttentionDecoder.
        regions: regions of the photos, float (batch, regions, channels). The batch size
            must be known when the search is compiled.
        beam_size: number of hypotheses kept per photo and group; 1 is greedy decoding.
        max_words: maximum number of words of a caption.
        length_penalty: exponent in the score log-probability / (words + 1) **
            length_penalty (Wu et al., "Google's neural machine translation system",
            2016, section 7, without its constant 5). With a consensus it is ignored.
        unrepeated: length, 2 or more, of word sequences that may not occur twice in a
            caption (Paulus et al., "A deep reinforced model for abstractive
            summarization", 2018, section 2.5); 0 allows all repetitions.
        groups: number of groups of hypotheses, for diverse beam search. The captions of
            different groups differ. The first group equals ordinary beam search.
        diversity: penalty for words that an earlier group has chosen at the same place.
        consensus: a Consensus, which computes the likeness of a caption: how well it
            agrees with the words that people would use. The score of a caption is then
            log-probability / (words + 1) + WEIGHT * likeness. With None, likeness does
            not count.

    Returns:
        Hypotheses: a named tuple of the words, log-probabilities, attention, scores and
        likeness of `groups * beam_size` captions per photo, best first in each group,
        and the detail of each photo: how much its regions differ from each other. Captions
        have `max_words` word numbers. If a caption is shorter, END and PAD follow.
        Without a consensus, likeness and detail are NaN.
    """
    batch, places = regions.shape[0], regions.shape[1]
    beam_size, group_size = groups * beam_size, beam_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, beam_size)
    words = ops.full((batch, beam_size, max_words), PAD, dtype="int32")
    attention = ops.zeros((batch, beam_size, max_words, places), dtype="float32")
    # All hypotheses of a group are equal at the start, so only the first one may be extended in the first step.
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
    detail = consensus.detail(regions) if consensus else ops.full((batch,), math.nan)
    return Hypotheses(*(_take(each, order) for each in (words, scores, attention, ranks, likeness)), detail)


def sample(decoder, regions, count, max_words, seed, temperature=1.0, unrepeated=0):
    """Sample captions at random, word by word, with the probabilities that the decoder predicts.

    Args:
        decoder: an AttentionDecoder.
        regions: regions of the photos, float (batch, regions, channels). The batch size
            must be known when the search is compiled.
        count: number of captions sampled per photo.
        max_words: maximum number of words of a caption.
        seed: a keras.random.SeedGenerator.
        temperature: the number by which the logits are divided. Below 1, likely words
            become likelier; above 1, unlikely words do.
        unrepeated: length of word sequences that may not occur twice in a caption; 0
            allows all repetitions.

    Returns:
        Hypotheses: a named tuple. It has, for each photo, `count` captions in no order: the
        words, the log-probability and the score of each caption, at temperature 1, and the
        attention of each word. Captions have `max_words + 1` word numbers: the words, END,
        then PAD. Likeness and detail are NaN: only `beam_search` computes them.
    """
    batch, places, size = regions.shape[0], regions.shape[1], decoder.vocabulary_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, count)
    length = max_words + 1
    words = ops.full((batch, count, length), PAD, dtype="int32")
    attention = ops.zeros((batch, count, length, places), dtype="float32")
    scores = ops.zeros((batch, count), dtype="float32")
    last = ops.full((batch, count), START, dtype="int32")
    # The argmax of (logits + Gumbel noise) is a random draw from the softmax of the logits: Maddison et al., "A*
    # sampling", 2014. The noise is computed before the loop, because a loop of JAX cannot change a random state.
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
    unknown = ops.full_like(scores, math.nan)
    return Hypotheses(words, scores, attention, ranks, unknown, unknown[:, 0])


class Search:
    """Finds captions of photos with a search function that is compiled only once.

    Args:
        decoder: an AttentionDecoder.
        beam_size: for `beam_search`, the number of hypotheses kept per photo and group. For `sample`, the number of
            captions per photo.
        max_words: maximum number of words of a caption.
        batch_size: number of photos that are captioned together. Smaller batches are padded to this size,
            so that the search is compiled only once.
        method: the function `beam_search` or `sample`.
        options: further arguments of this function, such as `groups`.
    """

    def __init__(self, decoder, beam_size, max_words, batch_size=64, method=beam_search, **options):
        self.batch_size, self._generator = batch_size, options.get("seed")
        self._search = backend.compiled(
            lambda regions: method(decoder, regions, beam_size, max_words, **options),
            decoder.variables,
            [options["seed"].state] if "seed" in options else [],
        )

    def reseed(self, seed):
        """Restart the random sampling with a seed. For beam search, the method does nothing.

        Args:
            seed: the random seed, an int.
        """
        if self._generator is not None:
            self._generator.state.assign(keras.random.SeedGenerator(seed).state)

    def __call__(self, regions):
        """Find captions of photos.

        Args:
            regions: regions of at most `batch_size` photos, float (photos, regions, channels).

        Returns:
            Hypotheses: a named tuple of NumPy arrays with the words, log-probabilities, attention, scores and likeness
            of the captions, and the detail of the photos. Likeness tells how well a caption agrees with the words that
            people would use, and detail tells how much the regions of a photo differ from each other.
        """
        count = len(regions)
        padded = np.pad(np.asarray(regions, "float32"), [[0, self.batch_size - count], [0, 0], [0, 0]])
        return Hypotheses(*(each[:count] for each in self._search(padded)))
