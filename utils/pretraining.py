"""An encoder learns to see: from drawn scenes, from a teacher's regions of photos, or from both."""

import csv
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.checkpoint import Checkpoint, read_progress
from utils.compact import save_compact
from utils.hardware import bfloat16_is_faster
from utils.normalised import fold, normalised_twin
from utils.progress import silent
from utils.run_folder import CHECKPOINT_FILE

# What a pretraining folder holds.
ENCODER_FILE, HISTORY_FILE = "encoder.h5", "history.csv"

# Examples of each objective that a row of the history is measured on.
_VALIDATION = 256

_WARMUP_STEPS = 300


class Student(keras.Model):
    """An encoder in training, with a linear layer over its regions for each objective.

    Args:
        encoder: the Encoder, whose network is copied; without `mirror` and `pool`.
        objectives: by what is it taught; each has `channels`, `loss` and `batch`.
        counts: the examples of each objective in a batch.
        policy: Keras's dtype policy.
    """

    def __init__(self, encoder, objectives, counts, policy):
        super().__init__()
        self._preprocess = encoder.preprocess
        self.twin = normalised_twin(encoder.network, policy)
        self.objectives, self.counts = objectives, counts
        self.heads = [keras.layers.Dense(each.channels, name=f"head_{each.name}") for each in objectives]
        for head in self.heads:
            head.build((None, encoder.channels))
        self.built = True

    def regions(self, pixels, training=False):
        """Float32 (batch, rows, columns, channels) of pixels (batch, size, size, 3)."""
        return ops.cast(self.twin(self._preprocess(ops.cast(pixels, "float32")), training=training), "float32")

    def call(self, pixels, training=False):
        """The heads' outputs, each for its part of a batch that holds the objectives' examples one after another."""
        regions, ends = self.regions(pixels, training), np.cumsum(self.counts)
        return [head(regions[end - n : end]) for head, n, end in zip(self.heads, self.counts, ends)]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the objectives' losses."""
        return sum(each.loss(target, output) for each, target, output in zip(self.objectives, y, y_pred))


class Pretraining:
    """Teaches an encoder step by step; a run that was killed goes on with `resume`.

    Args:
        encoder: the Encoder that it begins with; at the end it holds what was learnt.
        objectives: see `Student`.
        shares: of each objective in a batch, summing to 1.
        folder: gets the encoder's weights, the history, and the checkpoint.
        steps: of the whole run.
        batch_size: examples a step, at least as many as objectives.
        learning_rate: at its peak, from which it falls to zero along a cosine.
        seed: of heads, order and variation.
    """

    def __init__(self, encoder, objectives, shares, folder, steps, batch_size=32, learning_rate=1e-3, seed=0):
        keras.utils.set_random_seed(seed)
        self.encoder, self.objectives, self.folder = encoder, objectives, Path(folder)
        self.steps, self.seed = steps, seed
        first = [max(1, round(share * batch_size)) for share in shares[:-1]]
        self.counts = [*first, batch_size - sum(first)]
        policy = "mixed_bfloat16" if bfloat16_is_faster() else "float32"
        self.student = Student(encoder, objectives, self.counts, policy)
        warmup = min(_WARMUP_STEPS, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, global_clipnorm=5.0)
        optimizer.build(self.student.trainable_variables)
        self.student.compile(optimizer, jit_compile=False)
        self.checkpoint = Checkpoint(self.folder / CHECKPOINT_FILE, [*self.student.variables, *optimizer.variables])
        self.progress = {"step": 0, "seconds": 0.0, "history": []}

    def resume(self):
        """Go on from the checkpoint, if there is one yet."""
        if read_progress(self.folder / CHECKPOINT_FILE):
            self.progress = self.checkpoint.load()

    def batch(self, step):
        """Pixels and targets of a step, which depend on the seed and the step alone."""
        generators = np.random.default_rng([self.seed, step]).spawn(len(self.objectives))
        parts = [each.batch(g, count) for each, g, count in zip(self.objectives, generators, self.counts)]
        return np.concatenate([pixels for pixels, _ in parts]), [targets for _, targets in parts]

    def fit(self, report_minutes=10, on_report=lambda row: None, progress=silent):
        """Train to the end.

        Args:
            report_minutes: between two rows of the history, each with a checkpoint and the encoder so far.
            on_report: called with each row, a dict.
            progress: called as tqdm is.
        """
        started = time.perf_counter()
        with (
            ThreadPoolExecutor(1) as pool,
            progress(total=self.steps, initial=self.progress["step"], unit="step", desc="pretraining") as bar,
        ):
            ahead = pool.submit(self.batch, self.progress["step"])
            while self.progress["step"] < self.steps:
                pixels, targets = ahead.result()
                self.progress["step"] += 1
                ahead = pool.submit(self.batch, self.progress["step"])
                # Keras gives the mean since the metrics were reset.
                loss = float(self.student.train_on_batch(pixels, targets))
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()
                seconds = time.perf_counter() - started
                if seconds > 60 * report_minutes or self.progress["step"] == self.steps:
                    self.progress["seconds"] += seconds
                    on_report(self._report(loss))
                    started = time.perf_counter()

    def _report(self, loss):
        row = {
            "step": self.progress["step"],
            "hours": round(self.progress["seconds"] / 3600, 3),
            "loss": round(loss, 5),
        }
        fold(self.student.twin, self.encoder.network)
        for each, head in zip(self.objectives, self.student.heads):
            pixels, targets = each.validation(_VALIDATION)
            outputs = [
                ops.convert_to_numpy(head(self.student.regions(pixels[i : i + 32]))) for i in range(0, len(pixels), 32)
            ]
            row |= {name: round(value, 5) for name, value in each.measure(targets, np.concatenate(outputs)).items()}
        save_compact(self.encoder.network, self.folder / ENCODER_FILE)
        self.progress["history"].append(row)
        self.checkpoint.save(self.progress)
        temporary = self.folder / f"partial.{HISTORY_FILE}"
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.progress["history"])
        os.replace(temporary, self.folder / HISTORY_FILE)
        return row
