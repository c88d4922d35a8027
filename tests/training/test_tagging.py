import numpy as np
import pytest

from utils.data.tokenizer import END, PAD, UNKNOWN
from utils.training.tagging import Tagger, TagLoss, tag_precision, tag_shares

CAPTIONS = np.array([[[4, 5, 4, END], [4, UNKNOWN, END, PAD], [PAD, PAD, PAD, PAD]], [[PAD] * 4] * 3])


def test_shares_count_captions_not_words_and_leave_out_special_words():
    np.testing.assert_allclose(tag_shares(CAPTIONS, 7), [[0, 0, 0, 0, 1, 0.5, 0], [0] * 7])


def test_loss_is_the_cross_entropy_per_word_of_photos_that_have_captions():
    logits = np.array([[0.0] * 7, [9.0] * 7], "float32")
    assert float(TagLoss().call(CAPTIONS, logits)) == pytest.approx(7 * np.log(2) / 1.5, rel=1e-5)


def test_precision_is_one_for_the_right_order_and_worse_for_others():
    shares = np.array([[1.0, 0.0], [1.0, 0.6], [0.2, 0.0], [0.0, 0.0]])
    right = np.array([[3.0, 0.0], [2.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert tag_precision(shares, right) == 1
    # The first word's photos come third and fourth: (1/3 + 2/4) / 2; the second word's comes last: 1/4.
    assert tag_precision(shares, -right) == pytest.approx(((1 / 3 + 2 / 4) / 2 + 1 / 4) / 2)


def test_the_linear_layer_is_fitted_before_the_encoder_moves(tiny_encoder):
    """There are two words. One channel of the regions tells which of them is in the captions of a photo."""
    tagger = Tagger(tiny_encoder, 7, dropout=0.5)
    before = tiny_encoder.network.get_weights()
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 2, 2000)
    means = generator.normal(size=(2000, 64)).astype("float32")
    means[:, 0] += 4 * kinds
    captions = np.stack([4 + kinds, np.full(2000, END)], axis=-1)[:, None]
    tagger.fit_head(means, captions)
    assert tag_precision(tag_shares(captions, 7), np.array(tagger.tags(means[:, None]))) > 0.95
    for old, new in zip(before, tiny_encoder.network.get_weights()):
        assert np.array_equal(old, new)
