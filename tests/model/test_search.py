import itertools

import keras
import numpy as np
import pytest

from tests.conftest import make_decoder
from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.model.search import Search, sample

FORBIDDEN = (PAD, START, UNKNOWN)


@pytest.fixture
def regions():
    return np.random.default_rng(5).normal(size=(3, 4, 6)).astype("float32")


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def greedy(decoder, regions, max_words):
    """Decode one photo greedily, with a simple loop over words."""
    memory = decoder.remember(regions[None])
    state, last, words, total = decoder.initial_state(memory, 1), START, [], 0.0
    while len(words) < max_words and last != END:
        logits, state, _ = decoder.step(np.array([[last]]), state, memory)
        scores = log_softmax(logits)[0, 0]
        scores[list(FORBIDDEN)] = -np.inf
        if not words:
            scores[END] = -np.inf
        last = int(scores.argmax())
        words.append(last)
        total += scores[last]
    return words, total


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(regions, seed):
    decoder = make_decoder(seed=seed)
    found = Search(decoder, 1, 7, batch_size=4, unrepeated=0)(regions)
    for photo in range(len(regions)):
        words, total = greedy(decoder, regions[photo], 7)
        assert found.words[photo, 0].tolist() == words + [PAD] * (7 - len(words))
        assert found.log_probabilities[photo, 0] == pytest.approx(total, abs=1e-4)


def all_captions(vocabulary, max_words):
    """Yield all word sequences that a search can return."""
    usable = [w for w in range(vocabulary) if w not in FORBIDDEN and w != END]
    for length in range(1, max_words + 1):
        for words in itertools.product(usable, repeat=length):
            yield (*words, END) if length < max_words else words


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_same_captions_as_exhaustive_search(seed):
    decoder, max_words = make_decoder(words=7, seed=seed), 3
    regions = np.random.default_rng(seed).normal(size=(1, 4, 6)).astype("float32")
    captions = list(all_captions(7, max_words))
    inputs = np.full((1, len(captions), max_words), PAD)
    inputs[:, :, 0] = START
    for row, words in enumerate(captions):
        inputs[0, row, 1 : len(words)] = words[:-1]
    scores = log_softmax(decoder((regions, inputs)))[0]
    totals = [sum(scores[row, i, w] for i, w in enumerate(words)) for row, words in enumerate(captions)]
    best = sorted(range(len(captions)), key=lambda row: (END not in captions[row], -totals[row]))[:25]
    # Finished and unfinished captions are among them.
    assert len({END in captions[row] for row in best}) == 2

    found = Search(decoder, 60, max_words, batch_size=1, unrepeated=0, length_penalty=0)(regions)
    for rank, row in enumerate(best):
        assert tuple(w for w in found.words[0, rank] if w != PAD) == captions[row]
        assert found.log_probabilities[0, rank] == pytest.approx(totals[row], abs=1e-4)


def test_a_wider_beam_finds_captions_that_are_at_least_as_likely(regions):
    options = {"batch_size": 3, "unrepeated": 0, "length_penalty": 0}
    decoder = make_decoder()
    decoder.output_bias.assign([5.0 if word == END else 0.0 for word in range(9)])
    narrow, wide = (Search(decoder, beam, 6, **options)(regions) for beam in (1, 30))
    assert (narrow.words == END).any(axis=-1).all()
    assert (wide.log_probabilities[:, 0] >= narrow.log_probabilities[:, 0] - 1e-5).all()


def test_other_photos_and_padding_of_a_batch_do_not_change_a_caption(decoder, regions):
    search = Search(decoder, 3, 6, batch_size=8)
    together, alone = search(regions), search(regions[1:2])
    assert np.array_equal(together.words[1], alone.words[0])
    np.testing.assert_allclose(together.attention[1], alone.attention[0], atol=1e-6)


def test_there_is_always_a_caption_and_never_a_special_word(regions):
    decoder = make_decoder()
    bias = np.zeros(9)
    bias[list(FORBIDDEN)] = 50
    for end in (-50, 50):
        bias[END] = end
        decoder.output_bias.assign(bias)
        found = Search(decoder, 3, 5, batch_size=3, unrepeated=0)(regions).words
        assert (found[:, :, 0] >= 4).all()
        assert not np.isin(found, (START, UNKNOWN)).any()
        assert ((found == END).sum(-1) == (1 if end > 0 else 0)).all()


def test_hypotheses_are_sorted_and_different(decoder, regions):
    found = {penalty: Search(decoder, 5, 6, batch_size=3, length_penalty=penalty)(regions) for penalty in (0, 1)}
    for penalty, (words, log_probabilities, _, scores, *_) in found.items():
        counted = ((words != PAD) & (words != END)).sum(-1) + 1
        ranks, ended = log_probabilities / counted**penalty, (words == END).any(axis=-1)
        np.testing.assert_allclose(scores, np.where(ended, ranks, ranks - 1000), rtol=1e-5)
        # Unfinished captions come last.
        assert (np.diff(ended.astype(int), axis=1) <= 0).all()
        assert (np.diff(ranks, axis=1) <= 1e-6)[ended[:, 1:] == ended[:, :-1]].all()
        for photo in words:
            assert len({tuple(caption) for caption in photo}) == 5
    assert not np.array_equal(found[0].words, found[1].words)


def test_attention_belongs_to_the_words(decoder, regions):
    found = Search(decoder, 4, 6, batch_size=3)(regions)
    memory = decoder.remember(regions)
    for rank in range(4):
        state, last = decoder.initial_state(memory, 1), np.full((3, 1), START)
        for position in range(6):
            _, state, attention = decoder.step(last, state, memory)
            last = found.words[:, rank : rank + 1, position]
            alive = last[:, 0] != PAD
            np.testing.assert_allclose(found.attention[alive, rank, position], np.array(attention)[alive, 0], atol=1e-5)


@pytest.mark.parametrize("length", [2, 3])
def test_no_word_sequence_occurs_twice_if_repetitions_are_forbidden(regions, length):
    repeats = 0
    for seed in range(3):
        decoder = make_decoder(seed=seed)
        free = Search(decoder, 3, 10, batch_size=3, unrepeated=0)(regions).words
        held = Search(decoder, 3, 10, batch_size=3, unrepeated=length)(regions).words
        for words in free.reshape(-1, 10):
            repeats += has_repeat(words, length)
        for words in held.reshape(-1, 10):
            assert not has_repeat(words, length)
    assert repeats


def has_repeat(words, length):
    words = [w for w in words if w not in (PAD, END)]
    sequences = [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
    return len(set(sequences)) < len(sequences)


def test_the_first_group_of_a_diverse_search_is_ordinary_beam_search(regions):
    for seed in range(3):
        decoder = make_decoder(seed=seed)
        plain = Search(decoder, 2, 6, batch_size=3)(regions)
        diverse = Search(decoder, 2, 6, batch_size=3, groups=3)(regions)
        assert np.array_equal(diverse.words[:, :2], plain.words)
        np.testing.assert_allclose(diverse.log_probabilities[:, :2], plain.log_probabilities, atol=1e-5)


def test_groups_are_equal_without_a_penalty_and_start_with_different_words_with_one(decoder, regions):
    alike = Search(decoder, 1, 6, batch_size=3, groups=3, diversity=0.0)(regions).words
    assert np.array_equal(alike[:, 1], alike[:, 0])
    differing = Search(decoder, 1, 6, batch_size=3, groups=3, diversity=1e6)(regions).words
    for photo in differing:
        assert len(set(photo[:, 0])) == 3


def test_log_probabilities_of_diverse_and_sampled_captions_are_the_sums_over_their_words(decoder, regions):
    seed = keras.random.SeedGenerator(1)
    found = [
        Search(decoder, 2, 6, batch_size=3, groups=2, unrepeated=0)(regions),
        Search(decoder, 4, 6, batch_size=3, method=sample, temperature=0.5, seed=seed)(regions),
    ]
    for hypotheses in found:
        words = hypotheses.words
        inputs = np.concatenate([np.full((3, 4, 1), START), words[:, :, :-1]], axis=2)
        logits = log_softmax(decoder((regions, inputs)))
        scores = np.take_along_axis(logits, words[..., None], -1)[..., 0] * (words != PAD)
        np.testing.assert_allclose(hypotheses.log_probabilities, scores.sum(-1), atol=1e-4)
        np.testing.assert_allclose(hypotheses.attention.sum(-1), words != PAD, atol=1e-5)


def test_a_low_temperature_samples_the_likeliest_words(decoder, regions):
    seed = keras.random.SeedGenerator(1)
    drawn = Search(decoder, 4, 6, batch_size=3, method=sample, temperature=0.001, seed=seed)(regions)
    for photo in range(3):
        words, _ = greedy(decoder, regions[photo], 7)
        assert (drawn.words[photo] == words + [PAD] * (7 - len(words))).all()


def test_sampled_words_have_the_frequencies_of_their_probabilities(decoder, regions):
    seed = keras.random.SeedGenerator(1)
    drawn = Search(decoder, 2000, 1, batch_size=3, method=sample, temperature=1.5, seed=seed)(regions).words[:, :, 0]
    logits = np.array(decoder((regions, np.full((3, 1, 1), START))))[:, 0, 0]
    logits[:, [PAD, START, UNKNOWN, END]] = -np.inf
    probabilities = np.exp(log_softmax(logits / 1.5))
    for words, expected in zip(drawn, probabilities):
        np.testing.assert_allclose(np.bincount(words, minlength=len(expected)) / 2000, expected, atol=0.04)
