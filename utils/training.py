"""Fitting a decoder to cached regions: batches, loss, validation, checkpoints that resume exactly."""

import json
import os
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from utils import metrics
from utils.decoder import AttentionDecoder
from utils.errors import InputError
from utils.hardware import bfloat16_is_faster
from utils.progress import silent
from utils.search import Search
from utils.tokenizer import END, PAD, START

# Steps between two checkpoints: a few minutes on two cores.
CHECKPOINT_STEPS = 200

# Photos whose regions give the channels' mean and deviation.
_STATISTICS_PHOTOS = 500


def caption_arrays(photos, tokenizer, captions_per_photo, max_words):
    """References as numbers for teacher forcing.

    Photos with more references give the first ones; those with fewer are
    filled up with captions of padding alone, which the loss ignores.

    Returns:
        Inputs, which begin with <start>, and targets, which end with <end>:
        int32 (photos, captions_per_photo, max_words + 1) each, filled with <pad>.
    """
    inputs = np.full((len(photos), captions_per_photo, max_words + 1), PAD, "int32")
    targets = inputs.copy()
    for row, photo in enumerate(photos):
        for column, reference in enumerate(photo.references[:captions_per_photo]):
            words = tokenizer.encode(reference)
            inputs[row, column, : len(words[:max_words]) + 1] = [START, *words[:max_words]]
            # A caption that is cut must not teach that it ends there.
            following = [*words, END][: max_words + 1]
            targets[row, column, : len(following)] = following
    return inputs, targets


class Batches:
    """Batches of photos in an order that depends on the seed and the epoch alone.

    Args:
        cache: a RegionCache that holds all photos.
        photos: the training photos.
        tokenizer, recipe: as trained with.
        seed: of the order.
    """

    def __init__(self, cache, photos, tokenizer, recipe, seed):
        self.cache, self.seed, self.batch_size = cache, seed, recipe.batch_size
        self.ids = [photo.id for photo in photos]
        self.arrays = caption_arrays(photos, tokenizer, recipe.captions_per_photo, recipe.max_words)
        self.steps_per_epoch = -(-len(photos) // recipe.batch_size)

    def batch(self, epoch, step):
        """The regions, input words and targets of one step; the last batch is filled up with padding."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
        inputs, targets = (array[chosen] for array in self.arrays)
        regions = self.cache.stack([self.ids[i] for i in chosen])
        fill = self.batch_size - len(chosen)
        return tuple(np.pad(a, [(0, fill)] + [(0, 0)] * (a.ndim - 1)) for a in (regions, inputs, targets))

    def dataset(self, epoch, step):
        """All batches from a position on, epoch after epoch, without end, as a tf.data.Dataset."""

        def generate(epoch=epoch, step=step):
            while True:
                for position in range(step, self.steps_per_epoch):
                    regions, inputs, targets = self.batch(epoch, position)
                    yield (regions, inputs), targets
                epoch, step = epoch + 1, 0

        (regions, inputs), targets = next(generate())
        spec = tf.nest.map_structure(lambda a: tf.TensorSpec(a.shape, a.dtype), ((regions, inputs), targets))
        return tf.data.Dataset.from_generator(generate, output_signature=spec).prefetch(2)


class CaptionLoss(keras.losses.Loss):
    """Cross-entropy per word, padding left out, with label smoothing.

    Szegedy et al., "Rethinking the inception architecture", 2016, section 7.

    Args:
        smoothing: share of the target spread evenly over the vocabulary.
    """

    def __init__(self, smoothing=0.0):
        super().__init__(name="caption_loss", reduction=None)
        self.smoothing = smoothing

    def call(self, targets, logits):
        """The mean over all words of the batch, of targets (…, length) and logits (…, length, vocabulary)."""
        real = ops.cast(targets != PAD, "float32")
        normaliser = ops.logsumexp(logits, axis=-1)
        right = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(targets, -1), axis=-1), -1)
        smooth = (1 - self.smoothing) * right + self.smoothing * ops.mean(logits, axis=-1)
        return ops.sum(real * (normaliser - smooth)) / ops.maximum(ops.sum(real), 1.0)


def caption_photos(search, cache, image_ids, tokenizer):
    """The best caption of photos in the cache, as words, by id."""
    captions = {}
    for start in range(0, len(image_ids), search.batch_size):
        batch = image_ids[start : start + search.batch_size]
        hypotheses = search(cache.stack(batch))
        captions |= {i: tokenizer.decode(words) for i, words in zip(batch, hypotheses.words[:, 0])}
    return captions


class Checkpoint:
    """Everything that a run's future depends on, in one file that is replaced by a rename.

    Args:
        path: the file, an .npz.
        model: a compiled model whose optimizer is built.
    """

    def __init__(self, path, model):
        self.path = Path(path)
        # With the dropout layers' random states, the optimizer's moments and
        # step, and the averaged weights.
        self._variables = [*model.variables, *model.optimizer.variables]

    def save(self, progress):
        """Write variables and `progress`, a JSON object."""
        arrays = {f"variable_{n}": np.asarray(ops.convert_to_numpy(v)) for n, v in enumerate(self._variables)}
        temporary = self.path.with_suffix(".partial")
        try:
            with open(temporary, "wb") as file:
                np.savez(file, progress=np.array(json.dumps(progress)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise InputError(f"{temporary}: cannot be written ({error.strerror}); make room and --resume") from None

    def load(self):
        """Restore the variables and return what was saved as `progress`."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                progress = json.loads(str(file["progress"]))
                values = [file[f"variable_{n}"] for n in range(len(self._variables))]
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())[:150]
            raise InputError(f"{self.path}: does not fit this run ({reason}); train anew with --overwrite") from None
        return progress


class Run(keras.callbacks.Callback):
    """What happens beside the steps: checkpoints, validation, history, the best weights, early stopping.

    Args:
        trainer: the Trainer whose fit this belongs to.
        single: whether to stop after one epoch.
        progress: called as tqdm is, once an epoch.
    """

    def __init__(self, trainer, single, progress):
        super().__init__()
        self.trainer, self.single, self.progress = trainer, single, progress

    def on_train_batch_end(self, batch, logs=None):
        trainer = self.trainer
        self._steps = batch + 1
        trainer.progress["step"] += 1
        trainer.progress["loss_sum"] += logs["loss"] * (batch + 1) - self._seen_loss
        self._seen_loss = logs["loss"] * (batch + 1)
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        self._bar.update()
        # None after an epoch's last step: finish_epoch writes the next one, and a fit of no steps would never end.
        step = trainer.progress["step"]
        if step % trainer.checkpoint_steps == 0 and step < trainer.batches.steps_per_epoch:
            trainer.checkpoint.save(trainer.progress)

    def on_epoch_begin(self, epoch, logs=None):
        self._seen_loss, self._started = 0.0, time.perf_counter()
        trainer = self.trainer
        self._bar = self.progress(
            total=trainer.batches.steps_per_epoch,
            initial=trainer.progress["step"],
            desc=f"epoch {epoch + 1}/{trainer.recipe.epochs}",
            unit="step",
            leave=False,
        )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._started
        self._bar.close()
        self.trainer.finish_epoch(self._steps, seconds)
        if self.single or self.trainer.should_stop():
            self.model.stop_training = True


class Trainer:
    """Trains a decoder on cached regions.

    Validation captions are written free-running by a second, float32 decoder
    that holds the averaged weights (Polyak and Juditsky, 1992); so it neither
    touches the weights in training nor their random states.

    Args:
        recipe: a Recipe.
        tokenizer: of the training captions.
        cache: a RegionCache that holds all photos of both splits.
        train, val: lists of Photo.
        folder: where `checkpoint.npz` goes.
        seed: of weights, dropout and order.
        checkpoint_steps: steps between checkpoints.
    """

    def __init__(self, recipe, tokenizer, cache, train, val, folder, seed=0, checkpoint_steps=CHECKPOINT_STEPS):
        keras.utils.set_random_seed(seed)
        self.recipe, self.tokenizer, self.cache, self.val = recipe, tokenizer, cache, val
        self.checkpoint_steps = checkpoint_steps
        self.batches = Batches(cache, train, tokenizer, recipe, seed)
        self.references = {photo.id: list(photo.references) for photo in val}
        regions = cache.stack([photo.id for photo in train[:_STATISTICS_PHOTOS]])
        self.model = self._decoder("mixed_bfloat16" if bfloat16_is_faster() else "float32", regions)
        self.averaged = self._decoder("float32", regions)
        self.search = Search(self.averaged, recipe.beam_size, recipe.max_words)
        self.model.compile(self._optimizer(), CaptionLoss(recipe.label_smoothing), jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        self.checkpoint = Checkpoint(Path(folder) / "checkpoint.npz", self.model)
        self.progress = {"epoch": 0, "step": 0, "loss_sum": 0.0, "history": []}

    def _decoder(self, policy, regions):
        recipe = self.recipe
        decoder = AttentionDecoder(
            len(self.tokenizer),
            units=recipe.units,
            attention_units=recipe.attention_units,
            embedding_size=recipe.embedding_size,
            dropout=recipe.dropout,
            dtype=policy,
        )
        decoder.build((None, *regions.shape[1:]))
        decoder.standardise(regions.mean((0, 1)), regions.std((0, 1)))
        return decoder

    def _optimizer(self):
        recipe = self.recipe
        total = recipe.epochs * self.batches.steps_per_epoch
        warmup = min(recipe.warmup_steps, total // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, total - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
        )
        return keras.optimizers.AdamW(
            schedule,
            weight_decay=recipe.weight_decay,
            global_clipnorm=recipe.clip_norm,
            use_ema=True,
            ema_momentum=recipe.averaging,
        )

    def resume(self):
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint.path.exists():
            self.progress = self.checkpoint.load()

    def fit(self, on_epoch=lambda trainer: None, progress=silent, callbacks=()):
        """Train until the recipe's epochs are over or validation no longer improves.

        Args:
            on_epoch: called with this trainer after every epoch, when `history`
                has its row and `averaged` the weights; `is_best` tells whether
                it is the best so far. Runs before the epoch's checkpoint is
                written, so after a kill it may be called for an epoch again.
            progress: called as tqdm is, to show how far an epoch is.
            callbacks: further Keras callbacks.
        """
        self._on_epoch = on_epoch
        if self.progress["step"]:
            # An epoch that was begun is finished first: it has fewer steps left.
            self._fit(self.batches.steps_per_epoch - self.progress["step"], True, progress, callbacks)
            # Keras ends every fit by putting the averaged weights in place.
            self.progress = self.checkpoint.load()
        if self.progress["epoch"] < self.recipe.epochs and not self.should_stop():
            self._fit(self.batches.steps_per_epoch, False, progress, callbacks)

    def _fit(self, steps, single, progress, callbacks):
        self.model.fit(
            self.batches.dataset(self.progress["epoch"], self.progress["step"]),
            initial_epoch=self.progress["epoch"],
            epochs=self.recipe.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the batches come shuffled
            verbose=0,
            callbacks=[Run(self, single, progress), *callbacks],
        )

    def finish_epoch(self, steps, seconds):
        """Validate the averaged weights, record the epoch and write the checkpoint.

        Args:
            steps, seconds: how much of the epoch was trained just now, and the time it took.
        """
        progress, recipe = self.progress, self.recipe
        optimizer = self.model.optimizer
        self.averaged.set_weights(self.model.get_weights())
        # No public name for them; keras.callbacks.SwapEMAWeights reads them so too.
        for target, value in zip(self.averaged.trainable_variables, optimizer._model_variables_moving_average):
            target.assign(value)
        started = time.perf_counter()
        written = caption_photos(self.search, self.cache, list(self.references), self.tokenizer)
        scores = metrics.evaluate(
            self.references, {i: " ".join(words) for i, words in written.items()}, which=("Bleu", "CIDEr")
        )
        captions = len(self.batches.ids) * recipe.captions_per_photo
        row = {
            "epoch": progress["epoch"] + 1,
            "loss": round(progress["loss_sum"] / self.batches.steps_per_epoch, 5),
            "val_Bleu_4": round(scores["Bleu_4"], 5),
            "val_CIDEr": round(scores["CIDEr"], 5),
            "distinct_captions": len({" ".join(words) for words in written.values()}),
            "learning_rate": float(ops.convert_to_numpy(optimizer.learning_rate)),
            "captions_per_second": round(captions * steps / self.batches.steps_per_epoch / seconds),
            "minutes": round(seconds / 60, 2),
            "validation_seconds": round(time.perf_counter() - started, 1),
        }
        progress["history"].append(row)
        self._on_epoch(self)
        progress |= {"epoch": progress["epoch"] + 1, "step": 0, "loss_sum": 0.0}
        self.checkpoint.save(progress)

    @property
    def history(self):
        """A dict per finished epoch."""
        return self.progress["history"]

    @property
    def is_best(self):
        """Whether the last epoch is the first one with the best validation CIDEr."""
        return all(row["val_CIDEr"] < self.history[-1]["val_CIDEr"] for row in self.history[:-1])

    def should_stop(self):
        """Whether CIDEr has not improved for the recipe's `patience` epochs."""
        scores = [row["val_CIDEr"] for row in self.history]
        return bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= self.recipe.patience
