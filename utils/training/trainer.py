"""Train one stage of a run, with validation, early stopping, and checkpoints from which a run resumes exactly."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from utils.data.tokenizer import Tokenizer
from utils.errors import InputError
from utils.features.architectures import ARCHITECTURES
from utils.model.decoder import AttentionDecoder
from utils.progress import silent
from utils.runtime import backend, keras_internals
from utils.runtime.devices import Devices
from utils.runtime.hardware import dtype_policy
from utils.training.batches import Batches
from utils.training.best_epoch import BestEpoch
from utils.training.checkpoint import Checkpoint
from utils.training.encoder_decoder import EndToEnd
from utils.training.losses import CaptionLoss
from utils.training.optimizers import make_optimizer
from utils.training.recipes import Recipe
from utils.training.rewards import CaptionReward
from utils.training.run_folder import CHECKPOINT_FILE
from utils.training.self_critical import SelfCritical
from utils.training.tagging import BATCH_PHOTOS, Tagger, TagLoss
from utils.training.validation import Validation

# Training steps between two checkpoints. They take a few minutes on two cores.
CHECKPOINT_STEPS = 200

# Number of photos from which the mean and the standard deviation of each region channel are computed.
_STATISTICS_PHOTOS = 500


@dataclass(frozen=True)
class Setup:
    """Hold the settings, data and devices that all stages of a run share.

    Args:
        recipe: a Recipe, the settings of the run.
        tokenizer: Tokenizer of the training captions.
        train, val: training and validation photos, two lists of Photo.
        folder: model folder to which `checkpoint.npz` is written.
        seed: random seed of weights, dropout, photo order and augmentation.
        distribution: the devices that train, a Devices.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    train: list
    val: list
    folder: Path
    seed: int = 0
    distribution: Any = field(default_factory=Devices)


class Run(keras.callbacks.Callback):
    """A Keras callback that shows the progress of an epoch, writes checkpoints, and stops training early.

    Args:
        trainer: the Trainer that passes this callback to `Model.fit`.
        single: True to stop after one epoch.
        progress: function that takes the arguments of `tqdm` and returns a progress bar. It is called once per epoch.
    """

    def __init__(self, trainer, single, progress):
        super().__init__()
        self.trainer, self.single, self.progress = trainer, single, progress

    def on_train_batch_end(self, batch, logs=None):
        trainer = self.trainer
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"{trainer.stage.name} epoch {trainer.state['epoch'] + 1}, step {trainer.state['step'] + 1}: the "
                "loss is not finite, so the weights are useless; train again with --overwrite and a lower "
                "--learning_rate"
            )
        self._steps = batch + 1
        trainer.state["step"] += 1
        trainer.state["loss_sum"] += logs["loss"] * (batch + 1) - self._seen_loss
        self._seen_loss = logs["loss"] * (batch + 1)
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        self._bar.update()
        # After the last step of an epoch, `finish_epoch` writes the checkpoint. Here it must not be written: a run that
        # resumes from it would call `fit` with 0 steps, which does not end.
        step = trainer.state["step"]
        due = step % trainer.checkpoint_steps == 0 and step < trainer.batches.steps_per_epoch
        if due and trainer.distribution.chief:
            backend.write_back(self.model)
            trainer.checkpoint.save(trainer.state)

    def on_epoch_begin(self, epoch, logs=None):
        self._seen_loss, self._started = 0.0, time.perf_counter()
        trainer = self.trainer
        self._bar = self.progress(
            total=trainer.batches.steps_per_epoch,
            initial=trainer.state["step"],
            desc=f"{trainer.stage.name} epoch {epoch + 1}/{trainer.stage.epochs}",
            unit="step",
            leave=False,
        )

    def on_epoch_end(self, epoch, logs=None):
        self._seconds = time.perf_counter() - self._started
        self._bar.close()
        if self.trainer.distribution.chief:
            self.trainer.average_weights()

    def after_validation(self, epoch, logs=None):
        """Finish the epoch: add it to the training history, and write a checkpoint.

        Training stops if the argument `single` is True, or if the validation score has stopped improving.

        Keras must call this method after the callback Validation. `epoch` and `logs` are the number of the epoch and a
        dict of its scores.
        """
        self.trainer.finish_epoch(self._steps, self._seconds)
        if self.single or self.trainer.should_stop():
            self.model.stop_training = True


class Trainer:
    """Train one stage of a run.

    A second model, in float32, holds the averaged weights (Polyak and Juditsky, 1992) and writes the validation
    captions. So validation changes neither the weights in training nor the random states. If the stage has a
    `start_share`, the averaged weights are averaged once more, with the weights that the stage began with.

    Args:
        setup: a Setup: settings, data and devices of the run.
        stage: the Stage to train.
        source: loads the training inputs. It is a RegionSource; if the stage trains on photos, a PhotoSource or
            ViewSource.
        start: AttentionDecoder with the initial weights; None for random weights.
        history: training history of the earlier stages, a list with a dict of scores for each epoch.
        checkpoint_steps: number of steps between checkpoints.
    """

    def __init__(self, setup, stage, source, start=None, history=(), checkpoint_steps=CHECKPOINT_STEPS):
        recipe, train, val = setup.recipe, setup.train, setup.val
        seed = setup.seed + 1000 * stage.number  # so that each stage sees the photos in another order
        keras.utils.set_random_seed(seed)
        self.recipe, self.stage, self.tokenizer, self.source, self.val = recipe, stage, setup.tokenizer, source, val
        self.best_epoch = BestEpoch(recipe, len(val), stage.tagging)
        self.checkpoint_steps, self.distribution = checkpoint_steps, setup.distribution
        self.batches = Batches(source, train, setup.tokenizer, recipe, seed)
        self._statistics = None
        if not (start or stage.tagging):
            self._statistics = source.regions(source.encoder, train[:_STATISTICS_PHOTOS])
        policy = self.distribution.from_chief(dtype_policy(recipe.precision))
        with self.distribution.scope():
            self.model = self._make_model(policy, start, stage)
        self.averaged = self._make_model("float32", start)
        self.validation = Validation(setup, stage, source, self.averaged)
        steps, slow, pace = stage.epochs * self.batches.steps_per_epoch, (), 1.0
        if source.encoder:
            slow, pace = self.model.encoder.network.trainable_variables, ARCHITECTURES[source.encoder.name].pace
        with self.distribution.scope():
            optimizer = make_optimizer(recipe, stage.learning_rate, steps, slow, pace)
            optimizer.build(self.model.trainable_variables)
        loss = TagLoss() if stage.tagging else CaptionLoss(recipe.label_smoothing)
        if stage.self_critical:
            loss = None  # SelfCritical computes its own loss
        self.model.compile(optimizer, loss, jit_compile=backend.compiles())
        self.distribution.attach(self.model, loss)
        # The checkpoint includes the stage's initial weights: after a resume, the model folder may hold newer ones.
        begun = self.model.trainable_variables if stage.start_share else ()
        self.begun = [keras.Variable(variable, trainable=False) for variable in begun]
        # These include the random states of dropout, the moments and the step of the optimizer, and the averaged
        # weights.
        variables = [*self.model.variables, *optimizer.variables, *self.begun]
        self.checkpoint = Checkpoint(Path(setup.folder) / CHECKPOINT_FILE, variables)
        self.state = {"stage": stage.name, "epoch": 0, "step": 0, "loss_sum": 0.0, "history": list(history)}

    def _make_model(self, policy, start, stage=None):
        """Make the model that a stage trains, or the model that validates it.

        Args:
            policy: name of the Keras dtype policy of the decoder.
            start: AttentionDecoder whose weights the new decoder gets; None for random weights.
            stage: the Stage for the model that is trained; None for the model that only validates.

        Returns:
            A Tagger in the tagging stage. In other stages an EndToEnd model, or a SelfCritical model if `stage` is
            self-critical.
        """
        recipe, encoder, dropout = self.recipe, self.source.encoder, self.stage.dropout
        if encoder:
            encoder = encoder.copy()
            encoder.weights = "trained"
            if self.stage.trains_encoder:
                encoder.freeze_below(recipe.finetune_encoder)
            else:
                encoder.network.trainable = False
        if self.stage.tagging:
            return Tagger(encoder, len(self.tokenizer), dropout)
        decoder = AttentionDecoder(
            len(self.tokenizer),
            units=recipe.units,
            attention_units=recipe.attention_units,
            embedding_size=recipe.embedding_size,
            dropout=dropout,
            grounded=recipe.grounded,
            value_size=recipe.value_size,
            dtype=policy,
        )
        decoder.attention_entropy = recipe.attention_entropy
        if start:
            decoder.build((None, None, start.region_mean.shape[0]))
            decoder.set_weights(start.get_weights())
        else:
            decoder.build((None, *self._statistics.shape[1:]))
            decoder.standardise(self._statistics.mean((0, 1)), self._statistics.std((0, 1)))
        if stage and stage.self_critical:
            reward = CaptionReward(self.batches.arrays[1], recipe.scst_meteor_weight)
            return SelfCritical(decoder, encoder, reward, recipe.scst_samples, recipe.max_words, self.batches.seed)
        return EndToEnd(decoder, encoder)

    def resume(self):
        """Restore the checkpoint of an interrupted run. On several machines, only the first one reads the checkpoint.

        Afterwards, `fit` copies the variables to all machines.

        Raises:
            InputError: the checkpoint cannot be read or belongs to another run.
        """
        self.state = self.distribution.from_chief(self.checkpoint.load() if self.distribution.chief else None)

    def fit(self, on_epoch=lambda trainer: None, progress=silent, callbacks=()):
        """Train until all epochs of the stage are done, or until validation stops improving.

        Args:
            on_epoch: function that is called with this trainer after every epoch. Then the last element of `history`
                has the scores of the epoch, `averaged` has the weights of the epoch, and `is_best` is True if it is the
                best epoch so far. The checkpoint is written afterwards. So a run that is killed and resumed may call
                the function twice for the same epoch.
            progress: function that takes the arguments of `tqdm` and returns a progress bar. It is called every epoch.
            callbacks: list of further Keras callbacks.

        Raises:
            InputError: the loss is not finite, or a photo cannot be read.
        """
        self._on_epoch = on_epoch
        if self.state["step"]:
            # Finish the interrupted epoch in a separate `fit`, because it has fewer steps.
            self._fit(self.batches.steps_per_epoch - self.state["step"], True, progress, callbacks)
            # At the end of `fit`, Keras replaces the weights by the averaged ones. Restore the weights in training.
            self.resume()
        if self.stage.tagging and not self.state["epoch"]:
            self._fit_head(progress)
        if self.state["epoch"] < self.stage.epochs and not self.should_stop():
            self._fit(self.batches.steps_per_epoch, False, progress, callbacks)

    def _fit_head(self, progress):
        """Train the linear layer of the Tagger alone, before the encoder and this layer are trained together.

        `progress` is a function that takes the arguments of `tqdm` and returns a progress bar.
        """
        photos, means = self.batches.photos, []
        encoder = self.source.encoder.copy(mirror=False)  # in training, the mirror image is not encoded either
        with progress(total=len(photos), unit="photo", desc="mean regions", leave=False) as bar:
            for start in range(0, len(photos), BATCH_PHOTOS):
                batch = photos[start : start + BATCH_PHOTOS]
                means.append(self.source.regions(encoder, batch).mean(axis=1))
                bar.update(len(batch))
        # Train the layer in the averaged model: the variables in training may be copied to several devices.
        self.averaged.fit_head(np.concatenate(means), self.batches.arrays[1], self.batches.seed)
        self.model.set_weights(self.averaged.get_weights())

    def _fit(self, steps, single, progress, callbacks):
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self.distribution.begin(variables)
        backend.separate(variables)
        run = Run(self, single, progress)
        finish = keras.callbacks.LambdaCallback(on_epoch_end=run.after_validation)
        try:
            self.model.fit(
                self.distribution.dataset(self.batches, self.state["epoch"], self.state["step"]),
                initial_epoch=self.state["epoch"],
                epochs=self.stage.epochs,
                steps_per_epoch=steps,
                shuffle=False,  # `Batches` shuffles
                verbose=0,
                callbacks=[run, self.validation, finish, *callbacks],
            )
        except Exception:
            if self.batches.error:  # TensorFlow changes the type of an exception; raise the original one
                raise self.batches.error from None
            raise

    def average_weights(self):
        """Copy the averaged weights, which the optimizer has computed, to the model `averaged`."""
        self.averaged.set_weights(self.model.get_weights())
        means = keras_internals.averaged_weights(self.model.optimizer)
        for target, value in zip(self.averaged.trainable_variables, means):
            target.assign(value)
        # Wortsman et al., "Robust fine-tuning of zero-shot models", 2022: the mean of the weights before and after
        # fine-tuning is better on new photos than either.
        for target, value in zip(self.averaged.trainable_variables, self.begun):
            target.assign(target + self.stage.start_share * (value - target))

    def finish_epoch(self, steps, seconds):
        """Add the epoch to the training history, and write the checkpoint.

        Args:
            steps: number of steps since the beginning of the epoch; in a resumed epoch, since it was resumed.
            seconds: time that these steps took.
        """
        if self.distribution.chief:
            state, steps_per_epoch = self.state, self.batches.steps_per_epoch
            captions = (
                len(self.batches.photos)
                * self.batches.repeats
                * self.recipe.captions_per_photo
                * steps
                / steps_per_epoch
            )
            row = {
                "stage": self.stage.name,
                "epoch": state["epoch"] + 1,
                "loss": round(state["loss_sum"] / steps_per_epoch, 5),
                **self.validation.scores,
                "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)),
                "captions_per_second": round(captions / seconds),
                "minutes": round(seconds / 60, 2),
                "validation_seconds": round(self.validation.seconds, 1),
            }
            state["history"].append(row)
            self._on_epoch(self)
            state |= {"epoch": state["epoch"] + 1, "step": 0, "loss_sum": 0.0}
            self.checkpoint.save(state)
        self.state = self.distribution.from_chief(self.state)

    def validate_start(self, on_epoch):
        """Validate the model with which training starts, and add its scores to the history as epoch 0.

        So this model is kept if training does not improve it.

        Args:
            on_epoch: function that is called with this trainer afterwards.
        """
        if self.distribution.chief:
            row = dict.fromkeys(("loss", "learning_rate", "captions_per_second", "minutes", "validation_seconds"))
            row = {"stage": "start", "epoch": 0, "loss": None, **self.validation.validate(), **row, "minutes": 0.0}
            row["validation_seconds"] = round(self.validation.seconds, 1)
            self.state["history"].append(row)
            on_epoch(self)
        self.state = self.distribution.from_chief(self.state)

    @property
    def history(self):
        """Return the training history: a list with a dict of scores for each finished epoch."""
        return self.state["history"]

    @property
    def is_best(self):
        """Return True if the last epoch is better than all earlier epochs."""
        return self.best_epoch.best(self.history) is self.history[-1]

    def should_stop(self):
        """Return True if training must stop before all epochs are done: the validation score no longer improves."""
        rows = [row for row in self.history if row["stage"] == self.stage.name]
        return self.best_epoch.has_stalled(rows, self.batches.steps_per_epoch)
