"""Captions from probabilities: beam search (a beam of one is greedy decoding) and sampling, whole batches at once."""

import math
from collections import namedtuple

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.model.consensus import WEIGHT
from utils.model.decoder import State
from utils.runtime import backend

# For each photo `beam_size` captions, best first (group after group, where
# there are groups): words, int (batch, beam, length), ended by END and filled
# with PAD; log-probabilities (batch, beam); attention (batch, beam, length,
# regions), a map a word; scores (batch, beam), by which they are ranked; likeness
# with what people would say (batch, beam), nan without a consensus.
Hypotheses = namedtuple("Hypotheses", "words log_probabilities attention scores likeness")

# No three words come twice in a caption: the end of "a white and white and
# white …", and worth .003 of CIDEr on Flickr8k's val (models/README.md).
UNREPEATED = 3

# Captions are ranked by their log-probability a word, nearly: by its sum alone
# those that say little win. Found on Flickr8k's val (models/README.md).
LENGTH_PENALTY = 0.9

# What a word costs a group of hypotheses that an earlier group has just taken,
# in log-probability; the middle of what the paper found good.
DIVERSITY = 0.5

_IMPOSSIBLE = -1e9

# Brings a hypothesis behind all that have ended: more than log-probabilities differ by, too little to lose their order.
_UNENDED = 1e3


def _take(tensor, parents):
    """For tensor (batch, beam, …) and parents (batch, beam): tensor[b, parents[b, k]]."""
    index = ops.reshape(parents, (*parents.shape, *[1] * (len(tensor.shape) - 2)))
    return ops.take_along_axis(tensor, index, axis=1)


def _per_word(log_probabilities, words, length_penalty):
    """Log-probabilities (batch, beam) divided by (words + 1) to a power."""
    lengths = ops.sum(ops.cast((words != PAD) & (words != END), "float32"), axis=-1)
    return log_probabilities / (lengths + 1) ** length_penalty


def never_written(vocabulary_size):
    """Booleans (vocabulary,): whether a word is one that captions never hold."""
    numbers = ops.arange(vocabulary_size)
    return (numbers == PAD) | (numbers == START) | (numbers == UNKNOWN)


def forbidden_words(vocabulary_size, last):
    """Whether hypotheses have ended, and the words that must not follow their last ones."""
    numbers = ops.arange(vocabulary_size)
    ended = ops.expand_dims((last == END) | (last == PAD), -1)
    empty = ops.expand_dims(last == START, -1) & (numbers == END)
    return ended, ops.where(ended, numbers != PAD, never_written(vocabulary_size) | empty)


def repeating_words(words, position, vocabulary_size, length):
    """The next words that would make a hypothesis repeat a sequence of `length` words.

    Args:
        words: hypotheses so far, int (batch, beam, max_words), PAD from `position` on.

    Returns:
        Booleans (batch, beam, vocabulary).
    """
    before, room = length - 1, words.shape[2] - length + 1
    last = ops.slice(words, (0, 0, ops.maximum(position - before, 0)), (*ops.shape(words)[:2], before))
    starts = ops.stack([words[:, :, i : i + room] for i in range(before)], axis=-1)
    following = words[:, :, before:]
    again = ops.all(starts == last[:, :, None], axis=-1) & (following != PAD)
    return ops.any((following[..., None] == ops.arange(vocabulary_size)) & again[..., None], axis=2)


def _extensions(candidates, groups, diversity):
    """The best one-word extensions of each group of hypotheses.

    Vijayakumar et al., "Diverse beam search", 2018, equation 3 with Hamming
    diversity: a word costs `diversity` for every hypothesis of an earlier group
    that has just taken it. Only the choice counts the cost, the scores do not.

    Args:
        candidates: scores of all extensions (batch, groups * beam, vocabulary).

    Returns:
        Scores, parents and words of the chosen ones, (batch, groups * beam) each.
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
            # That one caption has ended is no reason for another one to go on.
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
    """The `beam_size` best captions of each photo.

    All photos and hypotheses advance together; keys are computed once per
    photo. A hypothesis that has ended keeps its place in the beam; one that is
    still open after `max_words` words, and may break off as "… in front of a",
    comes behind those that have ended, so there is always a caption.

    Args:
        decoder: an AttentionDecoder.
        regions: (batch, regions, channels), the batch known beforehand.
        beam_size: hypotheses kept per photo; 1 is greedy decoding.
        max_words: words a caption has at most.
        length_penalty: captions are ranked by log-probability divided by
            (words + 1) to this power (Wu et al., "Google's neural machine
            translation system", 2016, section 7, without its constant 5);
            0 ranks by log-probability.
        unrepeated: no sequence of so many words (2 or more) comes twice in a caption
            (Paulus et al., "A deep reinforced model for abstractive
            summarization", 2018, section 2.5); 0 allows all.
        groups: beams that are kept unlike each other; the first one is that of
            ordinary beam search.
        diversity: how unlike, see `_extensions`.
        consensus: a Consensus; captions are then ranked by log-probability divided by
            (words + 1), plus WEIGHT times their likeness with what people would say.

    Returns:
        Hypotheses, with room for `max_words` words.
    """
    batch, places = regions.shape[0], regions.shape[1]
    beam_size, group_size = groups * beam_size, beam_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, beam_size)
    words = ops.full((batch, beam_size, max_words), PAD, dtype="int32")
    attention = ops.zeros((batch, beam_size, max_words, places), dtype="float32")
    # At first all hypotheses of a group are the same: only one of them may branch out.
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
    """Captions drawn word by word from the model's own probabilities.

    Args:
        decoder: an AttentionDecoder.
        regions: (batch, regions, channels), the batch known beforehand.
        count: captions drawn for each photo.
        max_words: words a caption has at most.
        seed: a keras.random.SeedGenerator.
        temperature: logits are divided by it; below 1 likely words become likelier.
        unrepeated: as for `beam_search`.

    Returns:
        Hypotheses in the order in which they were drawn, with room for `max_words`
        words and END; their log-probabilities and scores are those at temperature 1.
    """
    batch, places, size = regions.shape[0], regions.shape[1], decoder.vocabulary_size
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, count)
    length = max_words + 1
    words = ops.full((batch, count, length), PAD, dtype="int32")
    attention = ops.zeros((batch, count, length, places), dtype="float32")
    scores = ops.zeros((batch, count), dtype="float32")
    last = ops.full((batch, count), START, dtype="int32")
    # The largest of logits plus Gumbel noise is a word drawn by its probability: Maddison et al., "A* sampling", 2014.
    # Drawn beforehand, as JAX's loops may not change a random state.
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
    """A search compiled once for a decoder and used on batches of any size.

    Args:
        decoder, beam_size, max_words: as for `beam_search`.
        batch_size: photos decoded together; smaller batches are filled up, so
            that nothing is compiled twice.
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
        """Draw from here on what a new generator of that seed would give; of no effect where nothing is drawn."""
        if self._generator is not None:
            self._generator.state.assign(keras.random.SeedGenerator(seed).state)

    def __call__(self, regions):
        """Hypotheses, as arrays, for regions (photos ≤ batch_size, regions, channels)."""
        count = len(regions)
        padded = np.pad(np.asarray(regions, "float32"), [[0, self.batch_size - count], [0, 0], [0, 0]])
        return Hypotheses(*(each[:count] for each in self._search(padded)))
