from types import SimpleNamespace

import numpy as np

from tests.training.training_worker import Regions
from utils.data.tokenizer import END, PAD, START, Tokenizer
from utils.training.batches import Batches, RegionSource, caption_arrays
from utils.training.recipes import Recipe


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
    batches = Batches(RegionSource(Regions()), photos, tokenizer, Recipe(batch_size=3), seed=0)
    regions = Regions().stack([photo.id for photo in photos])

    def epoch(number):
        rows = np.concatenate([batches.batch(number, step)[0] for step in range(batches.steps_per_epoch)])
        return [int(np.abs(regions - row).sum((1, 2)).argmin()) for row in rows[:7]]

    assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(7))
    assert epoch(0) != epoch(1)
    assert epoch(0) == epoch(0)


def test_few_photos_come_several_times_an_epoch_and_equally_often():
    photos = [SimpleNamespace(id=str(i), references=("a dog",)) for i in range(7)]
    recipe = Recipe(batch_size=3, least_epoch_steps=5)
    batches = Batches(RegionSource(Regions()), photos, Tokenizer.fit(["a dog"], 1), recipe, seed=0)
    assert batches.steps_per_epoch == 5
    regions = Regions().stack([photo.id for photo in photos])
    rows = np.concatenate([batches.batch(0, step)[0] for step in range(5)])
    seen = [int(np.abs(regions - row).sum((1, 2)).argmin()) for row in rows[:14]]
    assert sorted(seen) == sorted(list(range(7)) * 2)


def test_an_epochs_order_is_computed_once(monkeypatch):
    """If it were computed at every step, the time of a step would grow with the number of photos."""
    photos = [SimpleNamespace(id=str(i), references=("a dog",)) for i in range(6)]
    batches = Batches(RegionSource(Regions()), photos, Tokenizer.fit(["a dog"], 1), Recipe(batch_size=2), seed=0)
    drawn, original = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or original(seed))
    for epoch in range(2):
        for step in range(3):
            batches.batch(epoch, step)
    assert [seed for seed in drawn if seed in ([0, 0], [0, 1])] == [[0, 0], [0, 1]]
