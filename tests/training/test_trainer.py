import signal
from itertools import count
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fresh_process import FreshProcess
from tests.training import training_worker
from tests.training.training_worker import Regions, make_trainer
from utils.data.tokenizer import PAD, Tokenizer
from utils.errors import InputError
from utils.training.batches import RegionSource
from utils.training.recipes import Recipe
from utils.training.rewards import CiderReward
from utils.training.trainer import Setup, Trainer


def worker(folder, stage, *moment):
    status, output, error = FreshProcess(training_worker.main, folder, stage, *moment).finish()
    results = [line for line in output.splitlines() if line.startswith("result")]
    return status, results[0] if results else error


@pytest.mark.parametrize(
    ("stage", "kills"),
    [("regions", ("step:3", "checkpoint:2", "step:4")), ("tagging", ("step:3",)), ("self-critical", ("step:3",))],
)
@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_one_that_was_not(tmp_path, stage, kills):
    """Dropout is on. Runs are killed within an epoch, at its end, and while a checkpoint is written."""
    status, uninterrupted = worker(tmp_path / "whole", stage)
    assert status == 0, uninterrupted
    folder = tmp_path / "killed"
    for moment in kills:
        status, _ = worker(folder, stage, moment)
        assert status == -signal.SIGKILL
    status, resumed = worker(folder, stage)
    assert status == 0, resumed
    assert resumed == uninterrupted


@pytest.mark.parametrize(("stage", "kept"), [("decoder", "block"), ("finetuning", "block1_conv1")])
@pytest.mark.slow
def test_finetuning_changes_the_layers_above_the_chosen_one_and_no_others(tmp_path, stage, kept):
    """The decoder stage comes before and does not change the encoder."""
    trainer = make_trainer(tmp_path, stage)
    before = trainer.source.encoder.network.get_weights()
    trainer.fit()
    after = trainer.model.encoder.network.get_weights()
    names = [variable.path for variable in trainer.source.encoder.network.weights]
    for name, old, new in zip(names, before, after):
        assert (old == new).all() == (kept in name), name


@pytest.mark.slow
def test_self_critical_training_keeps_the_mean_of_the_weights_before_and_after(tmp_path):
    """After a resume, the weights before the stage come from the checkpoint and not from the model folder."""
    trainer = make_trainer(tmp_path, "self-critical", scst_start_share=0.25, scst_epochs=1, averaging=0.0)
    before = [variable.numpy() for variable in trainer.model.trainable_variables]
    trainer.fit()
    resumed = make_trainer(tmp_path, "self-critical", scst_start_share=0.25, scst_epochs=1, averaging=0.0)
    for variable in resumed.begun:
        variable.assign(variable + 1)
    resumed.resume()
    for first, last, kept, begun in zip(
        before, trainer.model.trainable_variables, trainer.averaged.trainable_variables, resumed.begun, strict=True
    ):
        np.testing.assert_allclose(kept, first / 4 + last * 3 / 4, atol=1e-6)
        np.testing.assert_array_equal(begun, first)
    assert any(abs(a - b.numpy()).max() > 1e-4 for a, b in zip(before, trainer.model.trainable_variables))


@pytest.mark.slow
def test_self_critical_training_raises_the_reward(tmp_path):
    """All photos have the same single reference here."""
    trainer = make_trainer(tmp_path, "self-critical")
    model = trainer.model
    model.compile(keras.optimizers.Adam(0.02))
    (pixels, words), targets = trainer.batches.batch(0, 0)[0:2], trainer.batches.batch(0, 0)[2]
    targets[:] = targets[0, 0]
    model.reward = CiderReward(np.stack([targets[0], np.zeros_like(targets[0])]))
    data = (tf.constant(pixels), tf.constant(words)), tf.constant(targets)
    rewards = []
    for _ in range(40):
        model.reward_tracker.reset_state()
        rewards.append(-float(model.train_step(data)["loss"]))
    assert rewards[-1] > 2 * rewards[0]


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
    regions, (stage,) = RegionSource(Regions()), recipe.stages()
    trainer = Trainer(Setup(recipe, Tokenizer.fit(captions, 1), photos, photos, tmp_path), stage, regions)
    trainer.fit()
    written, loss = trainer.validation.write_captions(photos)
    assert [" ".join(words) for words in written] == captions
    assert trainer.history[-1]["val_Bleu_4"] > 0.99
    assert loss == pytest.approx(trainer.history[-1]["val_loss"], abs=1e-4)
    assert loss < 0.1


def test_validation_prefers_captions_without_a_fault_as_inference_does(tmp_path):
    photos = [SimpleNamespace(id="0", references=("a dog runs",))]
    tokenizer = Tokenizer.fit(["a dog runs"], 1)
    recipe = Recipe(units=4, attention_units=4, embedding_size=4, max_words=6, captions_per_photo=1, warmup_steps=1)
    setup = Setup(recipe, tokenizer, photos, photos, tmp_path)
    trainer = Trainer(setup, recipe.stages()[0], RegionSource(Regions()))
    found = np.full((1, 2, 6), PAD)
    found[0, 0, :4], found[0, 1, :3] = tokenizer.encode("a dog a dog"), tokenizer.encode("a dog runs")

    class Found:
        batch_size = 2

        def __call__(self, regions):
            return SimpleNamespace(words=found)

    trainer.validation.search = Found()
    assert trainer.validation.write_captions(photos)[0] == [["a", "dog", "runs"]]


@pytest.mark.slow
def test_an_error_in_the_middle_of_training_keeps_its_message(tmp_path):
    trainer = make_trainer(tmp_path)
    load, calls = trainer.source.load, count()

    def fail_later(*arguments):
        if next(calls) > 2:
            raise InputError("shard.zip: damaged")
        return load(*arguments)

    trainer.source.load = fail_later
    with pytest.raises(InputError, match=r"^shard\.zip: damaged$"):
        trainer.fit()


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.checkpoint.save(trainer.state)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="does not fit this run"):
        trainer.resume()
