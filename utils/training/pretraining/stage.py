"""Pretrain an encoder on scenes: pictures of coloured shapes that the program generates.

For each region of a scene, the encoder learns to predict the shape, the colour, and the bounding box of the object.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.features.quantised_weights import save_compact
from utils.progress import silent
from utils.runtime import backend
from utils.runtime.hardware import dtype_policy
from utils.training.checkpoint import Checkpoint, read_state
from utils.training.history import write_rows
from utils.training.pretraining.normalised import fold, normalised_twin
from utils.training.run_folder import CHECKPOINT_FILE

# Files of a pretraining folder.
ENCODER_FILE, HISTORY_FILE = "encoder.h5", "history.csv"

# Number of validation scenes.
_VALIDATION = 256

_WARMUP_STEPS = 300


class SceneReader(keras.Model):
    """Predict the shape, the colour and the box of the object in each region of a scene (a generated picture).

    The model is a copy of an encoder, followed by a linear layer.

    Args:
        encoder: Encoder whose network is copied. Its `mirror` must be False, because mirror images are not used here.
        labels: SceneLabels, which computes the loss.
        policy: name of the Keras dtype policy.
    """

    def __init__(self, encoder, labels, policy):
        super().__init__()
        self._preprocess, self._labels = encoder.preprocess, labels
        self.twin = normalised_twin(encoder.network, policy)
        self.head = keras.layers.Dense(labels.channels, name="head")
        self.head.build((None, encoder.channels))
        self.built = True

    def call(self, pixels, training=False):
        """Predict the shape, the colour and the box of the object in each region.

        Args:
            pixels: pixels of the scenes, RGB, 0 to 255, (batch, size, size, 3).
            training: True if batch normalisation uses the statistics of the batch; False if it uses stored ones.

        Returns:
            Float32 (batch, rows, columns, LABELS). The last axis has the logits of the shapes, then those of the
            colours, then the four sides of the box.
        """
        regions = self.twin(self._preprocess(ops.cast(pixels, "float32")), training=training)
        return self.head(ops.cast(regions, "float32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compute the loss of the predictions `y_pred` against the labels `y`, both (batch, rows, columns, LABELS).

        Keras calls this method. It also passes the other arguments, which are not used. Returns a scalar.
        """
        return self._labels.loss(y, y_pred)


class Pretraining:
    """Train an encoder on scenes, generated pictures of coloured shapes.

    Args:
        encoder: Encoder to train. After the method `fit`, it has the trained weights.
        labels: SceneLabels with the image size and the grid of the encoder.
        folder: folder to which the encoder's weights, the training history and the checkpoint are written.
        steps: number of training steps of the whole run.
        batch_size: scenes per step.
        learning_rate: peak learning rate. It rises during a warm-up and then falls to zero along a cosine.
        seed: random seed of the linear layer's weights and of the scenes.
    """

    def __init__(self, encoder, labels, folder, steps, batch_size=32, learning_rate=1e-3, seed=0):
        keras.utils.set_random_seed(seed)
        self.encoder, self.labels, self.folder = encoder, labels, Path(folder)
        self.steps, self.batch_size, self.seed = steps, batch_size, seed
        self.model = SceneReader(encoder, labels, dtype_policy())
        warmup = min(_WARMUP_STEPS, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, global_clipnorm=5.0)
        optimizer.build(self.model.trainable_variables)
        self.model.compile(optimizer, jit_compile=backend.compiles())
        variables = [*self.model.twin.variables, *self.model.head.variables, *optimizer.variables]
        self.checkpoint = Checkpoint(self.folder / CHECKPOINT_FILE, variables)
        self._read = backend.compiled(self.model.call, self.model.variables)
        self.state = {"step": 0, "seconds": 0.0, "history": []}

    def resume(self):
        """Restore the checkpoint of an interrupted run. If the folder has none, nothing changes."""
        if read_state(self.folder / CHECKPOINT_FILE):
            self.state = self.checkpoint.load()

    def batch(self, step):
        """Generate the scenes for a training step, with their labels.

        The scenes depend only on seed and step. So a resumed run gets the same scenes as an uninterrupted one.

        Args:
            step: number of the step, from 0.

        Returns:
            (pixels, labels), two tensors: (batch, size, size, 3), and (batch, rows, columns, LABELS).
        """
        batch = self.labels.batch(np.random.default_rng([self.seed, step]), self.batch_size)
        return keras.tree.map_structure(ops.convert_to_tensor, batch)

    def fit(self, report_minutes=10, on_report=lambda row: None, progress=silent):
        """Train until all steps are done.

        Args:
            report_minutes: minutes between two reports. A report validates the encoder, adds a row to the training
                history, and writes the history, the encoder's weights and a checkpoint.
            on_report: function that is called with each new row of the history, a dict.
            progress: function that takes the arguments of `tqdm` and returns a progress bar.
        """
        started = time.perf_counter()
        with (
            ThreadPoolExecutor(1) as pool,
            progress(total=self.steps, initial=self.state["step"], unit="step", desc="pretraining") as bar,
        ):
            ahead = pool.submit(self.batch, self.state["step"])
            while self.state["step"] < self.steps:
                pixels, labels = ahead.result()
                self.state["step"] += 1
                ahead = pool.submit(self.batch, self.state["step"])
                # Keras returns the mean loss since the metrics were reset.
                loss = float(self.model.train_on_batch(pixels, labels))
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()
                seconds = time.perf_counter() - started
                if seconds > 60 * report_minutes or self.state["step"] == self.steps:
                    self.state["seconds"] += seconds
                    on_report(self._report(loss))
                    started = time.perf_counter()

    def _report(self, loss):
        row = {
            "step": self.state["step"],
            "hours": round(self.state["seconds"] / 3600, 3),
            "loss": round(loss, 5),
        }
        fold(self.model.twin, self.encoder.network)
        pixels, labels = self.labels.validation(_VALIDATION)
        logits = np.concatenate([self._read(pixels[i : i + 32]) for i in range(0, len(pixels), 32)])
        row |= {name: round(value, 5) for name, value in self.labels.measure(labels, logits).items()}
        save_compact(self.encoder.network, self.folder / ENCODER_FILE)
        self.state["history"].append(row)
        self.checkpoint.save(self.state)
        write_rows(self.folder / HISTORY_FILE, self.state["history"])
        return row
