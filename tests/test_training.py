import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests.training_worker import Regions, make_trainer
from utils.errors import InputError
from utils.recipes import Recipe
from utils.tokenizer import END, PAD, START, Tokenizer
from utils.training import Batches, CaptionLoss, Trainer, caption_arrays, caption_photos

ROOT = Path(__file__).resolve().parents[1]


def worker(folder, *moment):
    command = [sys.executable, "-m", "tests.training_worker", str(folder), *moment]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    results = [line for line in process.stdout.splitlines() if line.startswith("result")]
    return process.returncode, results[0] if results else process.stderr


def test_killed_runs_end_with_the_weights_of_one_that_was_not(tmp_path):
    """Dropout is on; the kills come mid-epoch, and while a checkpoint is written."""
    status, uninterrupted = worker(tmp_path / "whole")
    assert status == 0, uninterrupted
    folder = tmp_path / "killed"
    for moment in ("step:3", "checkpoint:2", "step:4"):
        status, _ = worker(folder, moment)
        assert status == -signal.SIGKILL
    status, resumed = worker(folder)
    assert status == 0, resumed
    assert resumed == uninterrupted


def test_eight_images_are_memorised_word_for_word(tmp_path):
    captions = [
        "a red dog runs", "two cats sleep on a sofa", "a bird", "the boy jumps over a red fence",
        "a girl holds two birds", "a dog sleeps", "the girl runs to a boy", "two dogs jump",
    ]  # fmt: skip
    photos = [SimpleNamespace(id=str(i), references=(text,)) for i, text in enumerate(captions)]
    recipe = Recipe(
        epochs=60, batch_size=8, units=48, attention_units=24, embedding_size=24, max_words=8, captions_per_photo=1,
        dropout=0.0, label_smoothing=0.0, learning_rate=0.02, warmup_steps=5, averaging=0.5, patience=60,
    )  # fmt: skip
    trainer = Trainer(recipe, Tokenizer.fit(captions, 1), Regions(), photos, photos, tmp_path)
    trainer.fit()
    written = caption_photos(trainer.search, trainer.cache, [photo.id for photo in photos], trainer.tokenizer)
    assert [" ".join(words) for words in written.values()] == captions
    assert trainer.history[-1]["val_Bleu_4"] > 0.99


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.checkpoint.save(trainer.progress)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="does not fit this run"):
        trainer.resume()


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


def test_inputs_begin_with_start_and_targets_end_with_end_unless_cut():
    tokenizer = Tokenizer.fit(["a dog runs fast"], 1)
    number = tokenizer.number
    photos = [SimpleNamespace(references=("a dog", "a dog runs fast", "a"))]
    inputs, targets = caption_arrays(photos, tokenizer, 4, 3)
    a, dog, runs, fast = (number[word] for word in ("a", "dog", "runs", "fast"))
    assert inputs[0].tolist() == [[START, a, dog, PAD], [START, a, dog, runs], [START, a, PAD, PAD], [PAD] * 4]
    assert targets[0].tolist() == [[a, dog, END, PAD], [a, dog, runs, fast], [a, END, PAD, PAD], [PAD] * 4]


def test_every_photo_comes_once_an_epoch_in_an_order_of_its_own():
    tokenizer = Tokenizer.fit(["a dog"], 1)
    photos = [SimpleNamespace(id=str(i), references=("a dog",)) for i in range(7)]
    batches = Batches(Regions(), photos, tokenizer, Recipe(batch_size=3), seed=0)
    regions = Regions().stack(batches.ids)

    def epoch(number):
        rows = np.concatenate([batches.batch(number, step)[0] for step in range(batches.steps_per_epoch)])
        return [int(np.abs(regions - row).sum((1, 2)).argmin()) for row in rows[:7]]

    assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(7))
    assert epoch(0) != epoch(1)
    assert epoch(0) == epoch(0)
