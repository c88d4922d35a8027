"""Measure the speed of training a decoder on cached regions, and of the phases of a training step."""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.benchmark import tutorial_baseline
from utils.benchmark.measurements import Measurement, rates, take_turns, timed
from utils.benchmark.samples import DrawnRegions, draw_tokenizer, with_captions
from utils.features.cache import RegionCache
from utils.model.decoder import AttentionDecoder
from utils.training.batches import RegionSource, caption_arrays
from utils.training.trainer import Setup, Trainer

# Phases of a training step. "forward and backward" includes "forward", and "whole step" includes all phases.
PHASES = ("input", "forward", "forward and backward", "whole step")


def make_trainer(sizes, grid, paths, folder):
    """Make a Trainer, the program's side of the comparison. It trains a decoder on random regions and captions.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        grid: (regions, channels), the shape of a photo's regions.
        paths: list of photos. Only their number and names matter; their pixels are not read.
        folder: empty folder for the cached regions.
    """
    recipe, tokenizer = sizes.recipe, draw_tokenizer(sizes.vocabulary)
    photos = with_captions(paths[: recipe.batch_size], recipe.captions_per_photo, tokenizer)
    cache = RegionCache(folder, "benchmark", DrawnRegions(*grid))
    cache.fill(photos)
    stage = next(stage for stage in recipe.stages() if stage.name == "decoder")
    return Trainer(Setup(recipe, tokenizer, photos, photos, folder), stage, RegionSource(cache))


class BaselineTraining:
    """Train a decoder as tutorials program it (the baseline), on random regions in .npy files and random captions.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        grid: (regions, channels), the shape of a photo's regions.
        paths: list of photos. Only their number and names matter; their pixels are not read.
        folder: empty folder for the .npy files.
    """

    def __init__(self, sizes, grid, paths, folder):
        recipe, tokenizer = sizes.recipe, draw_tokenizer(sizes.vocabulary)
        self.photos = with_captions(paths[: recipe.batch_size], recipe.captions_per_photo, tokenizer)
        self.inputs, self.targets = caption_arrays(self.photos, tokenizer, recipe.captions_per_photo, recipe.max_words)
        # Number of words of the first photo's captions, divided by the mean number of words of a caption.
        words = np.count_nonzero(self.targets, axis=(1, 2))
        self.expanded_captions = float(recipe.captions_per_photo * words[0] / words.mean())
        self.files = [Path(folder) / f"{photo.id}.npy" for photo in self.photos]
        for file, regions in zip(self.files, DrawnRegions(*grid).encode(self.photos)):
            np.save(file, regions)
        decoder = AttentionDecoder(
            len(tokenizer), recipe.units, recipe.attention_units, recipe.embedding_size, recipe.dropout
        )
        decoder.build((None, *grid))
        self.loop = tutorial_baseline.TrainingLoop(decoder, recipe.label_smoothing, recipe.learning_rate)

    def step(self):
        """Do one training step on all photos with teacher forcing.

        Returns a dict from phase of the step, such as "forward", to seconds.
        """
        return self.loop.teacher_forced_step(self.files, self.inputs, self.targets)

    def expanded_step(self):
        """Do one training step on the first photo, with a separate sample for each word, and return the seconds."""
        return self.loop.expanded_step(self.files[0], self.inputs[0], self.targets[0])["whole step"]


def our_runs(trainer):
    """Make functions that measure how long the phases of the program's training step take.

    Args:
        trainer: a Trainer, which trains a decoder on random regions and captions. `make_trainer` makes it.

    Returns:
        A list of functions without arguments, one for each phase of PHASES, in this order. A function does the work of
        its phase and returns a dict {name of the phase: seconds}.
    """
    model, batch = trainer.model, trainer.batches.batch(0, 0)
    data = tuple(tf.constant(array) for array in batch)

    def forward(regions, inputs, targets):
        return model.loss(targets, model((regions, inputs), training=True))

    def backward(*data):
        with tf.GradientTape() as tape:
            loss = forward(*data)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    compiled = {"autograph": False, "jit_compile": bool(model.jit_compile)}
    forward_step, backward_step = (tf.function(each, **compiled) for each in (forward, backward))

    def whole():
        regions, inputs, targets = trainer.batches.batch(0, 0)
        model.train_on_batch((regions, inputs), targets)

    return [
        timed("input", lambda: trainer.batches.batch(0, 0)),
        timed("forward", lambda: forward_step(*data).numpy()),
        timed("forward and backward", lambda: tf.convert_to_tensor(backward_step(*data)[0]).numpy()),
        timed("whole step", whole),
    ]


def measure(sizes, photos, progress):
    """Measure the speed of each phase of a training step in captions per second, and the time of compilation.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `path`.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Measurement.
    """
    paths = [photo.path for photo in photos]
    return [measurement for grid in sizes.grids for measurement in _measure_grid(sizes, grid, paths, progress)]


def _measure_grid(sizes, grid, paths, progress):
    recipe, title = sizes.recipe, f"{grid[0]} regions of {grid[1]}"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        trainer, baseline = make_trainer(sizes, grid, paths, folder), BaselineTraining(sizes, grid, paths, folder)
        runs = our_runs(trainer)
        cold = runs[-1]()["whole step"]
        runs.append(lambda: {f"baseline's {name}": seconds for name, seconds in baseline.step().items()})
        runs.append(lambda: {"expanded": baseline.expanded_step()})
        values = take_turns(runs, sizes, progress, f"training, {title}")
    captions = len(baseline.photos) * recipe.captions_per_photo
    speed = {name: rates(captions, seconds) for name, seconds in values.items()}
    expanded = rates(baseline.expanded_captions, values["expanded"])
    compilation = float(cold - np.median(values["whole step"]))
    title += f", {trainer.model.decoder.dtype_policy.name}"
    rows = [
        *((name, "captions/s", speed[name], speed[f"baseline's {name}"]) for name in PHASES),
        ("whole step, a sample a word in the tutorial baseline", "captions/s", speed["whole step"], expanded),
        ("compilation of a step, once", "s", (compilation,)),
    ]
    return [Measurement("training", f"{title}: {what}", *values) for what, *values in rows]
