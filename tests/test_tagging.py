import numpy as np
import pytest

from utils.tagging import Tagger, TagLoss, tag_precision, tag_shares
from utils.tokenizer import END, PAD, UNKNOWN

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


def test_before_training_every_photo_has_the_tags_of_photos_at_large(tiny_encoder):
    tagger = Tagger(tiny_encoder, 7, dropout=0.5)
    generator = np.random.default_rng(0)
    tagger.prepare(generator.normal(size=(5, 16, 64)).astype("float32"), CAPTIONS[:1])
    pixels = generator.integers(0, 255, (2, 32, 32, 3), "uint8")
    shares = 1 / (1 + np.exp(-np.array(tagger((pixels, None)))))
    np.testing.assert_allclose(shares, [[0, 0, 0, 0, 1, 0.5, 0]] * 2, atol=2e-4)
