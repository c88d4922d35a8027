"""An encoder learns to see: from drawn scenes, from a teacher's regions of photos, or from both."""

import csv
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.features.quantised_weights import save_compact
from utils.progress import silent
from utils.runtime import backend
from utils.runtime.hardware import dtype_policy
from utils.training.checkpoint import Checkpoint, read_progress
from utils.training.pretraining.normalised import fold, normalised_twin
from utils.training.run_folder import CHECKPOINT_FILE

# What a pretraining folder holds.
ENCODER_FILE, HISTORY_FILE = "encoder.h5", "history.csv"

# Examples of each objective that a row of the history is measured on.
_VALIDATION = 256

_WARMUP_STEPS = 300


class Student(keras.Model):
    """An encoder in training, with a linear layer over its regions for each objective.

    Args:
        encoder: the Encoder, whose network is copied; without `mirror`.
        objectives: by what it is taught, SceneLabels or TeacherRegions.
        policy: Keras's dtype policy.
    """

    def __init__(self, encoder, objectives, policy):
        super().__init__()
        self._preprocess = encoder.preprocess
        self.twin = normalised_twin(encoder.network, policy)
        self.objectives = objectives
        # Keras follows layers only, and an objective is none.
        self._networks = [each.network for each in objectives if each.network]
        self.heads = [keras.layers.Dense(each.channels, name=f"head_{each.name}") for each in objectives]
        for head in self.heads:
            head.build((None, encoder.channels))
        self.built = True

    def regions(self, pixels, training=False):
        """Float32 (batch, rows, columns, channels) of pixels (batch, size, size, 3)."""
        return ops.cast(self.twin(self._preprocess(pixels), training=training), "float32")

    def call(self, batches, training=False):
        """Targets and the head's outputs of each objective's batch; all see as one batch."""
        seen, targets = zip(*(each.lesson(*batch) for each, batch in zip(self.objectives, batches)))
        regions = self.regions(ops.concatenate([ops.cast(pixels, "float32") for pixels in seen]), training)
        ends = np.cumsum([pixels.shape[0] for pixels in seen])
        return [
            (target, head(regions[end - target.shape[0] : end])) for target, head, end in zip(targets, self.heads, ends)
        ]

    def answer(self, number, *batch):
        """Targets and the head's outputs of the batch of one objective, told by its number, as in use."""
        pixels, targets = self.objectives[number].lesson(*batch)
        return targets, self.heads[number](self.regions(ops.cast(pixels, "float32")))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the objectives' losses."""
        return sum(each.loss(*pair) for each, pair in zip(self.objectives, y_pred))


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
        policy = dtype_policy()
        self.student = Student(encoder, objectives, policy)
        warmup = min(_WARMUP_STEPS, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, global_clipnorm=5.0)
        optimizer.build(self.student.trainable_variables)
        self.student.compile(optimizer, jit_compile=backend.compiles())
        learnt = [self.student.twin, *self.student.heads, optimizer]
        variables = [variable for each in learnt for variable in each.variables]
        self.checkpoint = Checkpoint(self.folder / CHECKPOINT_FILE, variables)
        self._answers = [
            backend.compiled(partial(self.student.answer, number), self.student.variables)
            for number in range(len(objectives))
        ]
        self.progress = {"step": 0, "seconds": 0.0, "history": []}

    def resume(self):
        """Go on from the checkpoint, if there is one yet."""
        if read_progress(self.folder / CHECKPOINT_FILE):
            self.progress = self.checkpoint.load()

    def batch(self, step):
        """Each objective's batch of a step, which depends on the seed and the step alone; on the device already."""
        generators = np.random.default_rng([self.seed, step]).spawn(len(self.objectives))
        batches = [each.batch(g, count) for each, g, count in zip(self.objectives, generators, self.counts)]
        return keras.tree.map_structure(ops.convert_to_tensor, batches)

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
                batches = ahead.result()
                self.progress["step"] += 1
                ahead = pool.submit(self.batch, self.progress["step"])
                # Keras gives the mean since the metrics were reset.
                loss = float(self.student.train_on_batch(batches))
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
        for each, answer in zip(self.objectives, self._answers):
            batch = each.validation(_VALIDATION)
            parts = [answer(*(array[i : i + 32] for array in batch)) for i in range(0, len(batch[0]), 32)]
            targets, outputs = map(np.concatenate, zip(*parts))
            row |= {name: round(value, 5) for name, value in each.measure(targets, outputs).items()}
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
