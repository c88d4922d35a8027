import numpy as np
import pytest

from tests.conftest import make_decoder
from utils.captioner import Captioner
from utils.data.tokenizer import END, PAD
from utils.errors import InputError
from utils.model.consensus import WEIGHT, Consensus
from utils.model.search import Search

A, DOG, CAT, RUNS, SITS = range(4, 9)
CHANNELS = 6


def photos(kinds, seed):
    """Make the regions of photos of two kinds: the typical regions of the kind, plus noise."""
    generator = np.random.default_rng(seed)
    looks = np.random.default_rng(0).normal(size=(2, CHANNELS))
    return (looks[kinds][:, None] + generator.normal(0, 0.3, (len(kinds), 4, CHANNELS))).astype("float32")


@pytest.fixture(scope="module")
def consensus():
    kinds = np.arange(40) % 2
    said = [[[A, (DOG, CAT)[kind], RUNS], [A, (DOG, CAT)[kind], SITS]] for kind in kinds]
    return Consensus.fit(photos(kinds, 1).mean(axis=1), said, 9)


def captions(*texts, length=5):
    return np.array([[*words, *[PAD] * (length - len(words))] for words in texts])


def likeness_of(consensus, regions, words):
    return np.asarray(consensus.likeness(regions, words))


def test_the_word_of_human_captions_of_similar_photos_is_predicted(consensus):
    written = captions([A, DOG, RUNS, END], [A, CAT, RUNS, END])
    likeness = likeness_of(consensus, photos([0, 1, 0], 2), np.stack([written] * 3))
    assert (likeness.argmax(axis=1) == [0, 1, 0]).all()
    assert (np.abs(likeness[:, 0] - likeness[:, 1]) > 0.3).all()


def test_words_of_all_captions_and_the_end_do_not_count(consensus):
    regions = photos([0], 3)
    written = captions([DOG, END], [A, DOG, END], [A, A, DOG], [END], [A, END])[None]
    dog, with_article, unended, empty, article = likeness_of(consensus, regions, written)[0]
    assert dog == pytest.approx(with_article) == pytest.approx(unended)
    assert empty == article == 0


def test_saving_rounds_a_consensus_to_eight_bits(consensus, tmp_path):
    consensus.save(tmp_path / "consensus.h5")
    regions, written = photos([0, 1], 4), np.stack([captions([A, DOG, SITS, END], [A, CAT, END])] * 2)
    loaded = Consensus.load(tmp_path / "consensus.h5")
    np.testing.assert_allclose(
        likeness_of(loaded, regions, written), likeness_of(consensus, regions, written), atol=0.02
    )


@pytest.mark.parametrize("count", [1, 2])
def test_few_photos_suffice(count):
    consensus = Consensus.fit(photos([0] * count, 5).mean(axis=1), [[[A, DOG]], [[A, CAT]]][:count], 9)
    likeness = likeness_of(consensus, photos([0], 6), captions([A, DOG, END])[None])
    assert np.isfinite(likeness).all()


def test_search_ranks_by_mean_log_probability_and_likeness(consensus):
    decoder, regions = make_decoder(seed=3), photos([0, 1, 1], 7)
    plain = Search(decoder, 6, 5, batch_size=4)(regions)
    ranked = Search(decoder, 6, 5, batch_size=4, consensus=consensus)(regions)
    assert not np.array_equal(plain.words, ranked.words)
    words = ((ranked.words != PAD) & (ranked.words != END)).sum(axis=-1)
    ranks = ranked.log_probabilities / (words + 1) + WEIGHT * likeness_of(consensus, regions, ranked.words)
    ended = (ranked.words == END).any(axis=-1)
    assert (np.diff(ended.astype(int), axis=1) <= 0).all()
    assert (np.diff(ranks, axis=1) <= 1e-5)[ended[:, 1:] == ended[:, :-1]].all()
    for one, other in zip(plain.words, ranked.words):
        assert sorted(map(tuple, one)) == sorted(map(tuple, other))


def test_the_first_of_several_captions_equals_the_single_caption(consensus):
    decoder, regions = make_decoder(seed=3), photos([0, 1], 8)
    alone = Search(decoder, 3, 5, batch_size=2, consensus=consensus)(regions)
    several = Search(decoder, 3, 5, batch_size=2, consensus=consensus, groups=2)(regions)
    assert np.array_equal(several.words[:, :3], alone.words)


def test_a_model_folder_holds_a_consensus_only_if_the_model_has_one(tiny_captioner, tmp_path):
    means = np.random.default_rng(0).random((8, tiny_captioner.encoder.channels), "float32")
    own = Consensus.fit(means, [[[A, DOG if i % 2 else CAT]] for i in range(8)], 9)
    parts = (tiny_captioner.encoder, tiny_captioner.tokenizer, tiny_captioner.decoder, 6, "shapes", {})
    Captioner(*parts, consensus=own).save(tmp_path)
    assert Captioner.from_folder(tmp_path).consensus.landmarks.shape == own.landmarks.shape
    file = tmp_path / "consensus.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged model folder"):
        Captioner.from_folder(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match=r"consensus\.h5 is missing"):
        Captioner.from_folder(tmp_path)
    file.write_bytes(whole)
    Captioner(*parts).save(tmp_path)
    assert not file.exists()
    assert Captioner.from_folder(tmp_path).consensus is None
