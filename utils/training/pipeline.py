"""Train a captioner, from the dataset to the model folder. train.py and train.ipynb call these functions."""

import json
import math
import zlib
from dataclasses import asdict, replace
from pathlib import Path

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.tokenizer import UNKNOWN, Tokenizer
from utils.errors import InputError
from utils.features.cache import RegionCache, shard_of
from utils.features.encoder_weights import check_names
from utils.features.encoders import Encoder
from utils.features.extraction import cache_regions, leave_out_unreadable
from utils.files import exists, replacing
from utils.model.caption import empty_note
from utils.progress import QUIET
from utils.runtime import backend
from utils.runtime.distribution import open_distribution
from utils.runtime.hardware import choose_precision
from utils.training import run_folder
from utils.training.batches import PhotoSource, RegionSource
from utils.training.best_epoch import BestEpoch
from utils.training.checkpoint import read_state
from utils.training.fit_confidence import fit_confidence
from utils.training.fit_consensus import fit_consensus, score_val
from utils.training.history import describe_epoch, write_history
from utils.training.model_card import write_card
from utils.training.start_from_model import add_words, hash_files, widen
from utils.training.trainer import Setup, Trainer
from utils.training.views import ViewSource, open_views, view_of

# File with the encoder's weights after the tagging stage. It is deleted when the run is finished.
_TAGGED_ENCODER = "tagged_encoder.weights.h5"

# Version of run.json. Runs that began with another version cannot be resumed.
_RUN_VERSION = 2

# A decoder trained from random weights on fewer photos writes captions that do not fit other photos.
FEW_TRAINING_PHOTOS = 1000

# Largest share of unknown words in the training captions that is not reported.
_MANY_UNKNOWN = 0.1


def train(
    dataset,
    data_dir,
    cache_dir,
    output_dir,
    recipe,
    seed=0,
    overwrite=False,
    resume=False,
    reporter=QUIET,
    callbacks=(),
    distribute=None,
):
    """Train a captioner and write its model folder.

    Arguments, files and free disk space are checked before the long work. `resume=True` continues a run that was
    killed. The continued run ends with the same weights as an uninterrupted run.

    Args:
        dataset: name of the dataset, such as "flickr8k"; several names are joined by "+".
        data_dir: folder of the dataset; for several datasets, a list of folders.
        cache_dir: folder of the caches that store the encoder's outputs.
        output_dir: model folder to write.
        recipe: a Recipe, the settings of the run.
        seed: seed of all random numbers.
        overwrite: True to replace an existing model in `output_dir`.
        resume: True to continue the interrupted run in `output_dir`.
        reporter: a Reporter, which shows lines and progress bars.
        callbacks: list of Keras callbacks, passed to `Model.fit`.
        distribute: None for one device, "mirrored" for all GPUs of this machine, "multiworker" for several machines.

    Returns:
        The Captioner of the best epoch, read from `output_dir`. On several machines, only the first one returns it; the
        others return None.

    Raises:
        InputError: an argument or a file is invalid, or the disk has too little room.
    """
    recipe.check()
    if distribute and recipe.scst_epochs:
        # Several devices sample other captions than one device, so no test could compare their results.
        raise InputError("self-critical training runs on one device: leave out --distribute, or --scst_epochs")
    if not recipe.start_from:
        check_names(recipe.encoder, recipe.encoder_weights)
    # Open the devices first, so that an error of one worker ends all workers.
    with open_distribution(distribute, reporter.say) as distribution:
        recipe = replace(recipe, precision=distribution.from_chief(choose_precision(recipe.precision)))
        places = {"data_dir": data_dir, "cache_dir": cache_dir}
        training = _Training(dataset, places, Path(output_dir), recipe, seed, reporter, distribution)
        training.open(overwrite, resume)
        return training.run(callbacks)


class _Training:
    """Carry out a training run: `open` prepares data and model, `run` trains stage after stage.

    Args:
        dataset: name of the dataset; several names are joined by "+".
        places: a dict with `data_dir` and `cache_dir`, the folders of the dataset and of the cached encoder outputs.
        folder: model folder to write, a Path.
        recipe: a Recipe, the settings of the run.
        seed: seed of all random numbers.
        reporter: a Reporter, which shows lines and progress bars.
        distribution: the devices that train, a Devices.
    """

    def __init__(self, dataset, places, folder, recipe, seed, reporter, distribution):
        self.dataset, self.places, self.folder, self.recipe, self.seed = dataset, places, folder, recipe, seed
        self.reporter, self.say, self.distribution, self.views = reporter, reporter.say, distribution, None
        self.settings = {
            "version": _RUN_VERSION,
            "dataset": dataset,
            "seed": seed,
            "backend": backend.name(),
            "recipe": asdict(recipe),
        }

    def open(self, overwrite, resume):
        """Prepare the run: check the model folder, read photos and captions, and choose vocabulary and encoder.

        Settings that probably lead to poor captions are reported.

        Args:
            overwrite: True if a model in the folder may be replaced.
            resume: True to continue the interrupted run in the folder.

        Raises:
            InputError: the folder holds a model, the settings differ from those of the interrupted run, or the photos
                cannot be used.
        """
        recipe, folder, chief = self.recipe, self.folder, self.distribution.chief
        if chief:
            run_folder.check(folder, self.settings, overwrite, resume)
        started = self._open_start() if recipe.start_from else None
        texts = self._read_photos()
        self._open_model(started, texts)
        if recipe.finetune_encoder:
            self.encoder.freeze_below(recipe.finetune_encoder)  # raises now if there is no such layer
        if self.dataset != "shapes":
            self._warn(texts)
        data = run_folder.describe_data([photo for photos in self.splits.values() for photo in photos])
        if started:
            data["weights in --start_from"] = hash_files(recipe.start_from)
        if chief:
            if resume:
                run_folder.check_data(folder, data)
            run_folder.claim(folder, self.settings | {"places": self._places(), "data": data}, resume)
        _check_workers(self.distribution, folder, self.settings)

    def _open_start(self):
        """Load the model with which training starts, report it to the user, and return it as a Captioner."""
        start = self.recipe.start_from
        if Path(start).resolve() == self.folder.resolve():
            raise InputError(
                f"{self.folder}: training would replace the model that it starts from; choose another --output_dir"
            )
        started = Captioner.from_folder(start)
        self.say(
            f"training starts from {start}: its {started.encoder.name}, decoder and {len(started.tokenizer)} words; "
            "--start_from none starts from random weights"
        )
        return started

    def _read_photos(self):
        """Read the dataset: set `self.splits` to the training and validation photos, and return the training captions.

        Returns:
            A list of strings.
        """
        table = load_dataset(self.dataset, self.places["data_dir"], self.seed)
        self.splits = {split: table.split(split) for split in ("train", "val")}
        counts = ", ".join(f"{len(photos)} {split}" for split, photos in self.splits.items())
        self.say(*table.notes, f"{self.dataset}: {counts} photos")
        return [text for photo in self.splits["train"] for text in photo.references]

    def _open_model(self, started, texts):
        """Prepare the model: set the attributes `tokenizer`, `encoder` and `start`.

        `start` becomes the decoder with the initial weights, or None for random weights.

        Args:
            started: Captioner with which training starts; None for training from random decoder weights.
            texts: training captions, a list of strings.
        """
        least = self.recipe.min_word_count
        if started:
            self.tokenizer = add_words(started.tokenizer, texts, least)
            added = len(self.tokenizer) - len(started.tokenizer)
            self.say(f"vocabulary: {len(self.tokenizer)} words, {added} of them new")
            self.encoder, self.start = started.encoder, widen(started.decoder, len(self.tokenizer))
        else:
            self.tokenizer, self.start = Tokenizer.fit(texts, least), None
            self.say(f"vocabulary: {len(self.tokenizer)} words that occur {least} times or more")
            self.encoder = _make_encoder(self.recipe, self.seed)

    def _places(self):
        """Return the dict of folders, `self.places`, with strings instead of Paths, for JSON."""

        def text(place):
            return [str(each) for each in place] if isinstance(place, list) else str(place)

        return {name: text(place) for name, place in self.places.items()}

    def _warn(self, texts):
        """Warn the user, before training, of settings that may lead to poor captions.

        `texts` are the training captions, a list of strings.
        """
        recipe, say, (train, val) = self.recipe, self.say, map(len, self.splits.values())
        if recipe.encoder_weights in ("random", "scenes"):
            say(
                f"{self.encoder.name} with weights {recipe.encoder_weights} was never trained on photos: expect poor "
                "captions"
            )
        if train < FEW_TRAINING_PHOTOS and not recipe.start_from:
            say(
                f"{train} training photos are few: expect poor captions, or start from a trained model with "
                "--start_from models/flickr8k"
            )
        words = [number for text in texts for number in self.tokenizer.encode(text)]
        unknown = words.count(UNKNOWN) / max(1, len(words))
        if unknown > _MANY_UNKNOWN and recipe.min_word_count > 1:
            say(
                f"{unknown:.0%} of the words in the training captions are too rare for the vocabulary; "
                "--min_word_count 1 keeps all"
            )
        if BestEpoch(recipe, val).by_loss:
            say(
                f"{val} photos are few to validate on: the epoch with the lowest validation loss is kept, not the one "
                "with the best CIDEr"
            )

    def run(self, callbacks):
        """Train all stages. If the folder has a checkpoint, continue from it.

        Args:
            callbacks: list of Keras callbacks, passed to `Model.fit`.

        Returns:
            The Captioner of the best epoch. On several machines, only the first one returns it; the others return None.
        """
        folder, distribution = self.folder, self.distribution
        begun = read_state(folder / run_folder.CHECKPOINT_FILE) or {"stage": None, "history": []}
        history, stages = begun["history"], self.recipe.stages()
        stages = stages[next((n for n, stage in enumerate(stages) if stage.name == begun["stage"]), 0) :]
        if stages[0].on_photos:
            self.splits = leave_out_unreadable(self.splits, self.reporter)
        if self.recipe.finetune_encoder and self.recipe.views:
            self._open_views()
        for stage in stages:
            trainer = self._make_trainer(stage, history)
            if stage.name == begun["stage"]:
                trainer.resume()
            self._train_stage(trainer, callbacks)
            history = trainer.history
        captioner = None
        if distribution.chief:
            self.say(trainer.best_epoch.explain(history))
            captioner = self._finish(trainer.best_epoch, history)
        # Here the other workers wait until the first worker has finished.
        distribution.from_chief(None)
        return captioner

    def _open_views(self):
        """Compute the outputs of the frozen encoder layers for some variations (views) of each photo.

        The outputs are written to a cache on disk, in the folder `cache_dir`. The attribute `views` becomes this cache,
        a RegionCache.
        """
        count, layer = {"train": self.recipe.views, "val": 2}, self.recipe.finetune_encoder
        self.views = open_views(self.places["cache_dir"], self.dataset, self.encoder, layer)
        wanted = {
            split: [view_of(photo, number) for photo in photos for number in range(count[split])]
            for split, photos in self.splits.items()
        }
        cache_regions(self.views, wanted, self.reporter)

    def _make_trainer(self, stage, history):
        """Make the Trainer of a stage.

        The first stage and the stage "decoder" start from the model of --start_from; without --start_from, from a new
        decoder. The stages "finetuning" and "self-critical" continue from the model in the run's folder. If there was a
        tagging stage, the stage "decoder" uses the encoder that the tagging stage trained. If a stage trains on cached
        regions, missing regions are first added to the cache.

        Args:
            stage: a Stage.
            history: training history so far, a list with a dict of scores for each epoch.

        Returns:
            A Trainer.
        """
        folder, start = self.folder, None if stage.name == "tagging" else self.start
        if stage.name not in ("tagging", "decoder") and history:
            captioner = Captioner.from_folder(folder)
            start, self.encoder = captioner.decoder, captioner.encoder
            if history[-1]["stage"] == "decoder":
                start.sharpen_attention(self.recipe.attention_sharpness)
        elif stage.name == "decoder" and self.recipe.stages()[0].tagging:
            self.encoder.load_trained(folder / _TAGGED_ENCODER)
        # Self-critical training on new crops had a better validation score than on the same few views
        # (docs/experiments.md).
        if stage.on_photos and self.views and not stage.self_critical:
            source = ViewSource(self.encoder, self.views, self.recipe.views)
        elif stage.on_photos:
            # The encoder then also encodes the mirror image. This doubles its time in use, but not in training.
            source = PhotoSource(self.encoder.copy(mirror=True))
        else:
            cache = RegionCache(self.places["cache_dir"], self.dataset, self.encoder)
            self.splits = cache_regions(cache, self.splits, self.reporter)
            if self.distribution.chief:
                photos = [photo.id for photos in self.splits.values() for photo in photos]
                run_folder.check_contents(self.folder, cache.contents(photos))
            source = RegionSource(cache)
        train, val = self.splits["train"], self.splits["val"]
        if stage.name == "decoder":
            steps = max(-(-len(train) // self.recipe.batch_size), self.recipe.least_epoch_steps)
            stage = replace(stage, epochs=max(stage.epochs, -(-self.recipe.least_steps // steps)))
        captions = [(photo.id, photo.references) for photo in train]
        self.distribution.check_same(training_photos=zlib.crc32(json.dumps(captions).encode()))
        setup = Setup(self.recipe, self.tokenizer, train, val, folder, self.seed, self.distribution)
        return Trainer(setup, stage, source, start, history)

    def _train_stage(self, trainer, callbacks):
        """Train one stage with its Trainer. After every epoch, the folder holds the best model so far.

        `callbacks` is a list of Keras callbacks, passed to `Model.fit`.
        """
        stage, encoder, say = trainer.stage, self.encoder, self.say
        say(
            f"{stage.name}: {_millions(trainer.model):.1f} million weights are trained"
            + (
                f", {_millions(trainer.model.encoder.network):.1f} of them the encoder's"
                if stage.trains_encoder
                else ""
            )
            + f"; {encoder.rows} × {encoder.columns} regions, {self.recipe.precision}, "
            f"{trainer.batches.steps_per_epoch} steps an epoch"
            + (f" (each photo {trainer.batches.repeats} times)" if trainer.batches.repeats > 1 else "")
            + f", {stage.epochs} epochs at most"
        )
        if self.start and not trainer.history:
            trainer.validate_start(self._after_epoch)
        trainer.fit(self._after_epoch, self.reporter.progress, callbacks)
        if trainer.should_stop():
            since = trainer.best_epoch.epochs_since_best([row for row in trainer.history if row["stage"] == stage.name])
            say(f"{stage.name} stopped: no better {trainer.best_epoch.score} for {since} epochs")
        else:
            say(f"{stage.name} ended after all its {stage.epochs} epochs")

    def _after_epoch(self, trainer):
        """Write the training history and report the scores. If the epoch is the best so far, write its model.

        The Trainer calls this method after every epoch, with itself as the argument.
        """
        averaged, row = trainer.averaged, trainer.history[-1]
        if trainer.is_best and trainer.stage.tagging:
            with replacing(self.folder / _TAGGED_ENCODER) as temporary:
                averaged.encoder.network.save_weights(temporary)
        elif trainer.is_best:
            Captioner(
                averaged.encoder or self.encoder,
                trainer.tokenizer,
                averaged.decoder,
                self.recipe.max_words,
                self.dataset,
                self.settings["recipe"],
            ).save(self.folder)
        write_history(self.folder, trainer.history)
        self.say(describe_epoch(row) + (", best so far" if trainer.is_best else ""))
        if note := empty_note(row["empty_captions"], len(trainer.val)):
            self.say(f"validation: {note}")

    def _finish(self, best_epoch, history):
        """Complete the model folder and return its Captioner.

        Fit the Consensus and the Confidence, write the model card, and delete files that only an unfinished run needs.

        Args:
            best_epoch: a BestEpoch, which ranks epochs.
            history: training history, a list with a dict of scores for each epoch.
        """
        folder, cache_dir, best = self.folder, self.places["cache_dir"], best_epoch.best(history)
        captioner, scores = Captioner.from_folder(folder), {}
        if self.recipe.consensus and best_epoch.by_loss:
            self.say("consensus is left out: too few validation photos to measure its effect")
        elif self.recipe.consensus:
            views = ViewSource(captioner.encoder, self.views, self.recipe.views) if self.views else None
            scores = fit_consensus(captioner, folder, self.splits, cache_dir, self.seed, self.reporter, views)
            plain = Captioner.from_folder(folder)
            without = score_val(plain, folder, self.splits["val"], cache_dir, self.reporter)
            if scores["CIDEr"] >= without["CIDEr"]:
                captioner.save_consensus(folder)
            else:
                self.say(f"without consensus: val CIDEr {without['CIDEr']:.3f}, which is better; consensus is left out")
                captioner, scores = plain, {}
        fit_confidence(captioner, folder, self.splits["val"], cache_dir, self.reporter)
        counts = {split: len(photos) for split, photos in self.splits.items()}
        write_card(folder, captioner, history, best, best_epoch.score, counts, scores)
        for name in (_TAGGED_ENCODER, run_folder.RUN_FILE, run_folder.CHECKPOINT_FILE):
            (folder / name).unlink(missing_ok=True)
        return captioner


def _make_encoder(recipe, seed):
    # None lets the Encoder choose: bfloat16 slows depthwise convolutions down.
    precision = "float32" if recipe.precision == "float32" else None
    return Encoder(recipe.encoder, recipe.encoder_weights, recipe.image_size, recipe.layer, seed, precision)


def _millions(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables) / 1e6


def _check_workers(distribution, folder, settings):
    """Raise InputError if the machines that train together have different settings or different output folders.

    Args:
        distribution: the devices that train, a Devices.
        folder: the output folder of this machine, a Path.
        settings: the settings of this machine, a dict that can be written as JSON.
    """
    distribution.check_same(flags=settings)
    # The first worker writes run.json before it answers, so every worker must see the same file now.
    run_file = folder / run_folder.RUN_FILE
    distribution.check_same(output_dir=run_file.stat().st_mtime_ns if exists(run_file) else None)


def kept_of_run(folder):
    """Describe what an interrupted run has saved, and how to continue the run.

    Args:
        folder: model folder of the run.

    Returns:
        A list of lines for the user; empty if the folder holds no interrupted run.
    """
    folder = Path(folder)
    if not exists(folder / run_folder.RUN_FILE):
        return []
    state = read_state(folder / run_folder.CHECKPOINT_FILE)
    kept = "extracted regions; no training step yet"
    if state:
        kept = f"a checkpoint of the {state['stage']} stage, epoch {state['epoch'] + 1}, step {state['step']}"
        kept += ", and the best model so far" if exists(folder / "config.json") else ""
    return [f"saved: {kept}", f"continue with: python train.py --resume {folder}"]


def extract_part(part, dataset, data_dir, cache_dir, recipe, seed=0, reporter=QUIET):
    """Compute the regions of some of a dataset's photos for the cache, so that several machines can share the work.

    Args:
        part: (k, n): the photos are divided into n parts, and this call works on part k, from 1 to n.
        dataset: name of the dataset; several names are joined by "+".
        data_dir: folder of the dataset; for several datasets, a list of folders.
        cache_dir: folder of the caches that store the encoder's outputs.
        recipe: a Recipe, which names the encoder.
        seed: random seed, also of the scenes of the dataset `shapes`.
        reporter: a Reporter, which shows lines and progress bars.
    """
    table = load_dataset(dataset, data_dir, seed)
    photos = shard_of(table.photos, *part)
    reporter.say(*table.notes, f"part {part[0]} of {part[1]}: {len(photos)} of {len(table.photos)} photos")
    encoder = Captioner.from_folder(recipe.start_from).encoder if recipe.start_from else _make_encoder(recipe, seed)
    cache = RegionCache(cache_dir, dataset, encoder)
    if photos:
        cache_regions(cache, {f"part {part[0]}": photos}, reporter)
    reporter.say(f"{len(cache)} photos are in {cache.folder}")
