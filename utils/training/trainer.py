"""Fitting a model stage by stage: validation, early stopping, checkpoints that resume exactly."""

import math
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.errors import InputError
from utils.evaluation import metrics
from utils.features.encoders import ARCHITECTURES
from utils.model.decoder import AttentionDecoder
from utils.model.search import Search
from utils.model.sentences import best_first, fault
from utils.progress import silent
from utils.runtime import backend, keras_internals
from utils.runtime.hardware import dtype_policy
from utils.runtime.one_device import OneDevice
from utils.training.batches import Batches, caption_arrays
from utils.training.checkpoint import Checkpoint
from utils.training.encoder_decoder import EndToEnd
from utils.training.judge import Judge
from utils.training.losses import CaptionLoss
from utils.training.optimizers import make_optimizer
from utils.training.rewards import CaptionReward
from utils.training.run_folder import CHECKPOINT_FILE
from utils.training.self_critical import SelfCritical
from utils.training.tagging import Tagger, TagLoss, tag_precision, tag_shares

# Steps between two checkpoints: a few minutes on two cores.
CHECKPOINT_STEPS = 200

# Validation scores in the history; a stage has those of what it writes.
SCORES = ("val_loss", "val_Bleu_4", "val_CIDEr", "distinct_captions", "empty_captions", "val_tag_precision")

# Photos whose tags are looked for together.
_TAGGED_PHOTOS = 64

# Photos whose regions give the channels' mean and deviation.
_STATISTICS_PHOTOS = 500


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
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"{trainer.stage.name} epoch {trainer.progress['epoch'] + 1}, step {trainer.progress['step'] + 1}: the "
                "loss is not finite, so the weights are lost; begin anew with a lower --learning_rate and --overwrite"
            )
        self._steps = batch + 1
        trainer.progress["step"] += 1
        trainer.progress["loss_sum"] += logs["loss"] * (batch + 1) - self._seen_loss
        self._seen_loss = logs["loss"] * (batch + 1)
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        self._bar.update()
        # None after an epoch's last step: finish_epoch writes the next one, and a fit of no steps would never end.
        step = trainer.progress["step"]
        due = step % trainer.checkpoint_steps == 0 and step < trainer.batches.steps_per_epoch
        if due and trainer.distribution.chief:
            backend.write_back(self.model)
            trainer.checkpoint.save(trainer.progress)

    def on_epoch_begin(self, epoch, logs=None):
        self._seen_loss, self._started = 0.0, time.perf_counter()
        trainer = self.trainer
        self._bar = self.progress(
            total=trainer.batches.steps_per_epoch,
            initial=trainer.progress["step"],
            desc=f"{trainer.stage.name} epoch {epoch + 1}/{trainer.stage.epochs}",
            unit="step",
            leave=False,
        )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._started
        self._bar.close()
        self.trainer.finish_epoch(self._steps, seconds)
        # Keras hands the same object to the callbacks that follow.
        row = self.trainer.history[-1]
        logs |= {name: row[name] for name in SCORES if row[name] is not None}
        if self.single or self.trainer.should_stop():
            self.model.stop_training = True


class Trainer:
    """Trains one stage of a recipe.

    Validation captions are written free-running by a second, float32 model
    that holds the averaged weights (Polyak and Juditsky, 1992), in some stages
    their mean with those that the stage began with; so it neither touches the
    weights in training nor their random states.

    Args:
        recipe: a Recipe.
        stage: one of its stages.
        tokenizer: of the training captions.
        source: a PhotoSource if the stage is `on_photos`, otherwise a RegionSource.
        train, val: lists of Photo.
        folder: where `checkpoint.npz` goes.
        seed: of weights, dropout, order and variation.
        start: a decoder whose weights the stage begins with; fresh ones if None.
        history: rows of the stages before.
        checkpoint_steps: steps between checkpoints.
        distribution: the devices, of `open_distribution`; one if None.
    """

    def __init__(
        self,
        recipe,
        stage,
        tokenizer,
        source,
        train,
        val,
        folder,
        seed=0,
        start=None,
        history=(),
        checkpoint_steps=CHECKPOINT_STEPS,
        distribution=None,
    ):
        seed += 1000 * stage.number  # so that stages see the photos in other orders
        keras.utils.set_random_seed(seed)
        self.recipe, self.stage, self.tokenizer, self.source, self.val = recipe, stage, tokenizer, source, val
        self.judge = Judge(recipe, len(val), stage.tagging)
        self.checkpoint_steps, self.distribution = checkpoint_steps, distribution or OneDevice()
        self.batches = Batches(source, train, tokenizer, recipe, seed)
        self._statistics = None
        if not (start or stage.tagging):
            self._statistics = source.regions(source.encoder, train[:_STATISTICS_PHOTOS])
        policy = self.distribution.from_chief(dtype_policy(recipe.precision))
        with self.distribution.scope():
            self.model = self._make_model(policy, start, stage)
        self.averaged = self._make_model("float32", start)
        if not stage.tagging:
            self.search = Search(self.averaged.decoder, recipe.beam_size, recipe.max_words)
            self._loss_sums = backend.compiled(
                lambda regions, words, targets: CaptionLoss().sums(targets, self.averaged.decoder((regions, words))),
                self.averaged.decoder.variables,
            )
        steps, slow, pace = stage.epochs * self.batches.steps_per_epoch, (), 1.0
        if source.encoder:
            slow, pace = self.model.encoder.network.trainable_variables, ARCHITECTURES[source.encoder.name].pace
        with self.distribution.scope():
            optimizer = make_optimizer(recipe, stage.learning_rate, steps, slow, pace)
            optimizer.build(self.model.trainable_variables)
        loss = TagLoss() if stage.tagging else CaptionLoss(recipe.label_smoothing)
        if stage.self_critical:
            loss = None  # it has its own
        self.model.compile(optimizer, loss, jit_compile=backend.compiles())
        self.distribution.attach(self.model, loss)
        # What the stage began with is best told by a checkpoint too: by then the model folder may hold later weights.
        begun = self.model.trainable_variables if stage.start_share else ()
        self.begun = [keras.Variable(variable, trainable=False) for variable in begun]
        # With the dropout layers' random states, the optimizer's moments and step, and its averaged weights.
        variables = [*self.model.variables, *optimizer.variables, *self.begun]
        self.checkpoint = Checkpoint(Path(folder) / CHECKPOINT_FILE, variables)
        self.progress = {
            "stage": stage.name,
            "epoch": 0,
            "step": 0,
            "loss_sum": 0.0,
            "history": list(history),
        }

    def _make_model(self, policy, start, stage=None):
        """A model with the weights that the stage begins with; without `stage`, one that is only used."""
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
        """Go on from the checkpoint; the other workers get its variables from the chief when a fit begins."""
        self.progress = self.distribution.from_chief(self.checkpoint.load() if self.distribution.chief else None)

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
            self.resume()
        if self.stage.tagging and not self.progress["epoch"]:
            self._prepare_tagger(progress)
        if self.progress["epoch"] < self.stage.epochs and not self.should_stop():
            self._fit(self.batches.steps_per_epoch, False, progress, callbacks)

    def _prepare_tagger(self, progress):
        photos, means = self.batches.photos, []
        encoder = self.source.encoder.copy(mirror=False)  # as in training
        with progress(total=len(photos), unit="photo", desc="mean regions", leave=False) as bar:
            for start in range(0, len(photos), _TAGGED_PHOTOS):
                batch = photos[start : start + _TAGGED_PHOTOS]
                means.append(self.source.regions(encoder, batch).mean(axis=1))
                bar.update(len(batch))
        # Not the model in training, whose variables may be mirrored on several devices.
        self.averaged.prepare(np.concatenate(means), self.batches.arrays[1], self.batches.seed)
        self.model.set_weights(self.averaged.get_weights())

    def _fit(self, steps, single, progress, callbacks):
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self.distribution.begin(variables)
        backend.separate(variables)
        try:
            self.model.fit(
                self.distribution.dataset(self.batches, self.progress["epoch"], self.progress["step"]),
                initial_epoch=self.progress["epoch"],
                epochs=self.stage.epochs,
                steps_per_epoch=steps,
                shuffle=False,  # the batches come shuffled
                verbose=0,
                callbacks=[Run(self, single, progress), *callbacks],
            )
        except Exception:
            if self.batches.error:  # TensorFlow passes on its words alone
                raise self.batches.error from None
            raise

    def finish_epoch(self, steps, seconds):
        """Validate the averaged weights, record the epoch and write the checkpoint.

        Args:
            steps, seconds: how much of the epoch was trained just now, and the time it took.
        """
        if self.distribution.chief:
            self._record_epoch(steps, seconds)
        self.progress = self.distribution.from_chief(self.progress)

    def _record_epoch(self, steps, seconds):
        progress, recipe = self.progress, self.recipe
        optimizer = self.model.optimizer
        self.averaged.set_weights(self.model.get_weights())
        for target, value in zip(self.averaged.trainable_variables, keras_internals.averaged_weights(optimizer)):
            target.assign(value)
        # Wortsman et al., "Robust fine-tuning of zero-shot models", 2022: between the weights
        # before and after lie better ones, where the latter know the training photos by heart.
        for target, value in zip(self.averaged.trainable_variables, self.begun):
            target.assign(target + self.stage.start_share * (value - target))
        started = time.perf_counter()
        scores = self.validate()
        references = len(self.batches.photos) * recipe.captions_per_photo
        row = {
            "stage": self.stage.name,
            "epoch": progress["epoch"] + 1,
            "loss": round(progress["loss_sum"] / self.batches.steps_per_epoch, 5),
            **scores,
            "learning_rate": float(ops.convert_to_numpy(optimizer.learning_rate)),
            "captions_per_second": round(references * steps / self.batches.steps_per_epoch / seconds),
            "minutes": round(seconds / 60, 2),
            "validation_seconds": round(time.perf_counter() - started, 1),
        }
        progress["history"].append(row)
        self._on_epoch(self)
        progress |= {"epoch": progress["epoch"] + 1, "step": 0, "loss_sum": 0.0}
        self.checkpoint.save(progress)

    def judge_start(self, on_epoch):
        """Let the model that training starts from compete as epoch 0, so that training never keeps a worse one.

        Args:
            on_epoch: as for `fit`.
        """
        if self.distribution.chief:
            row = dict.fromkeys(("loss", "learning_rate", "captions_per_second", "minutes", "validation_seconds"))
            started = time.perf_counter()
            row = {"stage": "start", "epoch": 0, "loss": None, **self.validate(), **row, "minutes": 0.0}
            row["validation_seconds"] = round(time.perf_counter() - started, 1)
            self.progress["history"].append(row)
            on_epoch(self)
        self.progress = self.distribution.from_chief(self.progress)

    def validate(self):
        """The SCORES of the averaged weights, a dict; those that this stage does not have are None."""
        scores = self._validate_tags() if self.stage.tagging else self._validate_captions()
        return {name: scores.get(name) for name in SCORES}

    def write_captions(self, photos):
        """The averaged weights' best caption of each photo, a list of words, and the mean loss of a reference word.

        The loss is that of teacher forcing, in nats, without label smoothing.
        """
        recipe, size = self.recipe, self.search.batch_size
        captions, losses, counts = [], 0.0, 0.0
        for start in range(0, len(photos), size):
            batch = photos[start : start + size]
            regions = self.source.regions(self.averaged.encoder, batch)
            for hypotheses in self.search(regions).words:
                found = [self.tokenizer.decode(numbers) for numbers in hypotheses]
                captions.append(found[best_first([fault(words) for words in found])[0]])
            arrays = caption_arrays(batch, self.tokenizer, recipe.captions_per_photo, recipe.max_words)
            # Filled up with padding, so that nothing is compiled twice.
            regions, *arrays = (np.pad(a, [(0, size - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in (regions, *arrays))
            total, count = self._loss_sums(regions.astype("float32"), *arrays)
            losses, counts = losses + float(total), counts + float(count)
        return captions, losses / max(counts, 1.0)

    def _validate_captions(self):
        """Scores of free-running captions of the validation photos, and the loss of their references."""
        captions, loss = self.write_captions(self.val)
        if not math.isfinite(loss):
            raise InputError(
                f"{self.stage.name}: the validation loss is not finite, so the weights are lost; begin anew with a "
                "lower --learning_rate and --overwrite"
            )
        written = [" ".join(words) for words in captions]
        scores = metrics.evaluate(
            {photo.id: list(photo.references) for photo in self.val},
            {photo.id: caption for photo, caption in zip(self.val, written)},
            which=("Bleu", "CIDEr"),
        )
        return {
            "val_loss": round(loss, 5),
            "val_Bleu_4": round(scores["Bleu_4"], 5),
            "val_CIDEr": round(scores["CIDEr"], 5),
            "distinct_captions": len(set(written)),
            "empty_captions": written.count(""),
        }

    def _validate_tags(self):
        """How well the words of the validation photos' captions are told from the photos."""
        recipe, logits, shares = self.recipe, [], []
        for start in range(0, len(self.val), _TAGGED_PHOTOS):
            photos = self.val[start : start + _TAGGED_PHOTOS]
            captions = caption_arrays(photos, self.tokenizer, recipe.captions_per_photo, recipe.max_words)[1]
            shares.append(tag_shares(captions, len(self.tokenizer)))
            logits.append(self.averaged.tags(self.source.regions(self.averaged.encoder, photos)))
        return {"val_tag_precision": round(tag_precision(np.concatenate(shares), np.concatenate(logits)), 5)}

    @property
    def history(self):
        """A dict per finished epoch."""
        return self.progress["history"]

    @property
    def is_best(self):
        """Whether the last epoch is the first one with the best validation score."""
        return self.judge.best(self.history) is self.history[-1]

    def should_stop(self):
        """Whether this stage's score has not improved for long enough."""
        rows = [row for row in self.history if row["stage"] == self.stage.name]
        return self.judge.has_stalled(rows, self.batches.steps_per_epoch)
