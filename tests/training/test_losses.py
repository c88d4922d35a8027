import keras
import numpy as np
import pytest

from utils.data.tokenizer import END, PAD
from utils.training.losses import CaptionLoss


def test_the_loss_counts_words_and_the_end_but_no_padding():
    logits = np.random.default_rng(0).normal(size=(1, 2, 4, 7)).astype("float32")
    targets = np.array([[[4, 5, END, PAD], [6, END, PAD, PAD]]])
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    losses = [-log_probabilities[0, c, t, targets[0, c, t]] for c, t in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))]
    assert float(CaptionLoss()(targets, logits)) == pytest.approx(np.mean(losses), rel=1e-5)
    reference = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    real = targets[0] != PAD
    expected = float(reference(np.eye(7)[targets[0][real]], logits[0][real]))
    assert float(CaptionLoss(0.1)(targets, logits)) == pytest.approx(expected, rel=1e-5)
