"""From a dataset to a model folder: what train.py and train.ipynb call."""

import csv
import json
import math
import zlib
from dataclasses import asdict, replace
from pathlib import Path

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.tokenizer import UNKNOWN, Tokenizer
from utils.errors import InputError
from utils.evaluation import metrics
from utils.features.cache import RegionCache, shard_of
from utils.features.encoders import Encoder, check_names
from utils.features.extraction import cache_regions, leave_out_unreadable
from utils.files import exists, replacing
from utils.model.consensus import Consensus
from utils.outputs import plots
from utils.progress import QUIET
from utils.runtime import backend
from utils.runtime.devices import open_distribution
from utils.runtime.hardware import choose_precision
from utils.training import run_folder
from utils.training.batches import PhotoSource, RegionSource
from utils.training.checkpoint import read_progress
from utils.training.confidence import fit_confidence
from utils.training.judge import Judge
from utils.training.model_card import write_card
from utils.training.recipes import Recipe
from utils.training.start import add_words, hash_files, widen
from utils.training.trainer import Trainer
from utils.training.views import ViewSource, open_views, view_of

# The encoder after the tagging stage; lies in a model folder only while it is being trained.
_TAGGED_ENCODER = "tagged_encoder.weights.h5"

# Of run.json; raised when runs that were begun before can no longer be resumed.
_RUN_VERSION = 2

# With fewer photos a decoder learns from nothing, captions do not say what is on other photos.
FEW_TRAINING_PHOTOS = 1000

# The share of training words beyond the vocabulary from which a person is told.
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

    All that a person can get wrong is checked before the long work. A run that
    was killed goes on with `resume=True` and ends with the weights that it
    would have had.

    Args:
        dataset, data_dir: as for `load_dataset`.
        cache_dir, output_dir: folders.
        recipe: a Recipe.
        seed: fixes all randomness.
        overwrite: replace a model that is in output_dir.
        resume: go on with the run that was begun in output_dir.
        reporter: a Reporter.
        callbacks: Keras callbacks for the fit.
        distribute: None, "mirrored" or "multiworker", as for `open_distribution`.

    Returns:
        The best epoch's Captioner, read from output_dir; on other workers than the chief, None.

    Raises:
        InputError: an argument, a file or the disk is not as it must be.
    """
    recipe.check()
    if distribute and recipe.scst_epochs:
        # Replicas would draw other captions than one device does, which could not be held against anything.
        raise InputError("self-critical training runs on one device: leave out --distribute, or --scst_epochs")
    if not recipe.start_from:
        check_names(recipe.encoder, recipe.encoder_weights)
    # Before the work, so that whatever is wrong with one worker ends all of them.
    with open_distribution(distribute, reporter.say) as distribution:
        recipe = replace(recipe, precision=distribution.from_chief(choose_precision(recipe.precision)))
        places = {"data_dir": data_dir, "cache_dir": cache_dir}
        training = _Training(dataset, places, Path(output_dir), recipe, seed, reporter, distribution)
        training.open(overwrite, resume)
        return training.run(callbacks)


class _Training:
    """A run from the table to the model folder, on devices that are connected.

    Args:
        dataset, recipe, seed, reporter: as for `train`.
        places: its `data_dir` and `cache_dir`.
        folder: the model folder.
        distribution: of `open_distribution`.
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
        """Everything that can be wrong before the work, and what a person should know: photos, words, encoder."""
        recipe, say, folder = self.recipe, self.say, self.folder
        if self.distribution.chief:
            run_folder.check(folder, self.settings, overwrite, resume)
        started = None
        if recipe.start_from:
            if Path(recipe.start_from).resolve() == folder.resolve():
                raise InputError(f"{folder}: training would replace the model that it starts from; choose another "
                                 "--output_dir")  # fmt: skip
            started = Captioner.from_folder(recipe.start_from)
            say(
                f"training starts from {recipe.start_from}: its {started.encoder.name}, decoder and "
                f"{len(started.tokenizer)} words; --start_from none starts from nothing"
            )
        table = load_dataset(self.dataset, self.places["data_dir"], self.seed)
        say(*table.notes)
        self.splits = {split: table.split(split) for split in ("train", "val")}
        say(
            f"{self.dataset}: "
            + ", ".join(f"{len(photos)} {split}" for split, photos in self.splits.items())
            + " photos"
        )
        texts = [text for photo in self.splits["train"] for text in photo.references]
        if started:
            self.tokenizer = add_words(started.tokenizer, texts, recipe.min_word_count)
            added = len(self.tokenizer) - len(started.tokenizer)
            say(f"vocabulary: {len(self.tokenizer)} words, {added} of them new")
            self.encoder, self.start = started.encoder, widen(started.decoder, len(self.tokenizer))
        else:
            self.tokenizer, self.start = Tokenizer.fit(texts, recipe.min_word_count), None
            say(f"vocabulary: {len(self.tokenizer)} words that occur {recipe.min_word_count} times or more")
            self.encoder = _make_encoder(recipe, self.seed)
        if recipe.finetune_encoder:
            self.encoder.freeze_below(recipe.finetune_encoder)  # a layer that does not exist is told now
        if self.dataset != "shapes":
            self._warn(texts)
        data = run_folder.describe_data([photo for photos in self.splits.values() for photo in photos])
        if started:
            data["weights in --start_from"] = hash_files(recipe.start_from)
        if self.distribution.chief:
            if resume:
                run_folder.check_data(folder, data)
            run_folder.claim(folder, self.settings | {"places": self._places(), "data": data}, resume)
        _check_workers(self.distribution, folder, self.settings)

    def _places(self):
        """The folders as JSON."""

        def text(place):
            return [str(each) for each in place] if isinstance(place, list) else str(place)

        return {name: text(place) for name, place in self.places.items()}

    def _warn(self, texts):
        """Say what makes captions poor, before the work."""
        recipe, say, (train, val) = self.recipe, self.say, map(len, self.splits.values())
        if recipe.encoder_weights in ("random", "scenes"):
            say(f"{self.encoder.name} with weights of {recipe.encoder_weights} has never seen a photo: expect poor "
                "captions")  # fmt: skip
        if train < FEW_TRAINING_PHOTOS and not recipe.start_from:
            say(f"{train} photos are few to learn from: expect poor captions, or start from a trained model, "
                "--start_from models/flickr8k")  # fmt: skip
        words = [number for text in texts for number in self.tokenizer.encode(text)]
        unknown = words.count(UNKNOWN) / max(1, len(words))
        if unknown > _MANY_UNKNOWN and recipe.min_word_count > 1:
            say(
                f"{unknown:.0%} of the words in the training captions are too rare to be learnt; --min_word_count 1 "
                "keeps all"
            )
        if Judge(recipe, val).by_loss:
            say(f"{val} photos are few to validate on: the epoch with the lowest validation loss is kept, not the one "
                "with the best CIDEr")  # fmt: skip

    def run(self, callbacks):
        """Train stage after stage from where the folder's checkpoint is.

        Returns:
            As `train`.
        """
        folder, distribution = self.folder, self.distribution
        begun = read_progress(folder / run_folder.CHECKPOINT_FILE) or {"stage": None, "history": []}
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
            self.say(trainer.judge.explain(history))
            captioner = self._finish(trainer.judge, history)
        # Other workers stay until the chief has done all.
        distribution.from_chief(None)
        return captioner

    def _open_views(self):
        """Extract the views of all photos by the encoder's layers that stay as they are in all stages."""
        count, layer = {"train": self.recipe.views, "val": 2}, self.recipe.finetune_encoder
        self.views = open_views(self.places["cache_dir"], self.dataset, self.encoder, layer)
        wanted = {
            split: [view_of(photo, number) for photo in photos for number in range(count[split])]
            for split, photos in self.splits.items()
        }
        cache_regions(self.views, wanted, self.reporter)

    def _make_trainer(self, stage, history):
        """The Trainer of a stage, on what the stages before have left."""
        folder, start = self.folder, None
        if stage.name not in ("tagging", "decoder"):
            captioner = Captioner.from_folder(folder)
            start, self.encoder = captioner.decoder, captioner.encoder
        elif stage.name == "decoder":
            start = self.start
            if self.recipe.stages()[0].tagging:
                self.encoder.load_trained(folder / _TAGGED_ENCODER)
        if stage.on_photos and self.views:
            source = ViewSource(self.encoder, self.views, self.recipe.views)
        elif stage.on_photos:
            # The encoder's double work in use is little beside what it does in training.
            source = PhotoSource(self.encoder.copy(mirror=True))
        else:
            cache = RegionCache(self.places["cache_dir"], self.dataset, self.encoder)
            self.splits = cache_regions(cache, self.splits, self.reporter)
            source = RegionSource(cache)
        train, val = self.splits["train"], self.splits["val"]
        if stage.name == "decoder":
            steps = -(-len(train) // self.recipe.batch_size)
            stage = replace(stage, epochs=max(stage.epochs, -(-self.recipe.least_steps // steps)))
        learnt = [(photo.id, photo.references) for photo in train]
        self.distribution.check_same(training_photos=zlib.crc32(json.dumps(learnt).encode()))
        return Trainer(
            self.recipe, stage, self.tokenizer, source, train, val, folder, self.seed, start, history,
            distribution=self.distribution,
        )  # fmt: skip

    def _train_stage(self, trainer, callbacks):
        """Fit one stage; whatever is the best so far lies in the folder."""
        stage, encoder, say = trainer.stage, self.encoder, self.say
        say(
            f"{stage.name}: {_millions(trainer.model):.1f} million weights are trained"
            + (
                f", {_millions(trainer.model.encoder.network):.1f} of them the encoder's"
                if stage.trains_encoder
                else ""
            )
            + f"; {encoder.rows} × {encoder.columns} regions, {self.recipe.precision}, "
            f"{trainer.batches.steps_per_epoch} steps an epoch, {stage.epochs} epochs at most"
        )
        if self.start and not trainer.history:
            trainer.judge_start(self._after_epoch)
        trainer.fit(self._after_epoch, self.reporter.progress, callbacks)
        if trainer.should_stop():
            since = trainer.judge.epochs_since_best([row for row in trainer.history if row["stage"] == stage.name])
            say(f"{stage.name} stopped: no better {trainer.judge.score} for {since} epochs")
        else:
            say(f"{stage.name} ended after all its {stage.epochs} epochs")

    def _after_epoch(self, trainer):
        """Write what the epoch has given, and say how good it is."""
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
        _write_history(self.folder, trainer.history)
        self.say(_describe_epoch(row) + (", best so far" if trainer.is_best else ""))
        if row["empty_captions"]:
            self.say(f"{row['empty_captions']} of {len(trainer.val)} validation captions are empty")

    def _finish(self, judge, history):
        """Fit the consensus, write the card, and take away what only a run needs."""
        folder, cache_dir, best = self.folder, self.places["cache_dir"], judge.best(history)
        captioner, scores = Captioner.from_folder(folder), {}
        if self.recipe.consensus and judge.by_loss:
            self.say("consensus is left out: too few validation photos to tell whether it helps")
        elif self.recipe.consensus:
            scores = _fit_consensus(captioner, folder, self.splits, cache_dir, self.seed, self.reporter)
            plain = Captioner.from_folder(folder)
            without = _score_val(plain, folder, self.splits["val"], cache_dir, self.reporter)
            if scores["CIDEr"] >= without["CIDEr"]:
                captioner.save_consensus(folder)
            else:
                self.say(f"without it {without['CIDEr']:.3f}: consensus is left out")
                captioner, scores = plain, {}
        fit_confidence(captioner, folder, self.splits["val"], cache_dir, self.reporter)
        counts = {split: len(photos) for split, photos in self.splits.items()}
        write_card(folder, captioner, history, best, judge.score, counts, scores)
        for name in (_TAGGED_ENCODER, run_folder.RUN_FILE, run_folder.CHECKPOINT_FILE):
            (folder / name).unlink(missing_ok=True)
        return captioner


def _make_encoder(recipe, seed):
    # Depthwise convolutions are slower in bfloat16, so which encoders use it is for the Encoder to say.
    precision = "float32" if recipe.precision == "float32" else None
    return Encoder(recipe.encoder, recipe.encoder_weights, recipe.image_size, recipe.layer, seed, precision)


def kept_of_run(folder):
    """What is kept of an interrupted run and how to continue it, as lines for a person; none if no run is there.

    Args:
        folder: the model folder.
    """
    folder = Path(folder)
    if not exists(folder / run_folder.RUN_FILE):
        return []
    progress = read_progress(folder / run_folder.CHECKPOINT_FILE)
    kept = "regions that were extracted; no step of the training yet"
    if progress:
        kept = f"a checkpoint of the {progress['stage']} stage, epoch {progress['epoch'] + 1}, step {progress['step']}"
        kept += ", and the best model so far" if exists(folder / "config.json") else ""
    return [f"kept: {kept}", f"go on with: python train.py --resume {folder}"]


def add_consensus(dataset, data_dir, cache_dir, folder, encoder_weights=None, seed=0, reporter=QUIET):
    """Fit the consensus of a model folder anew; all else in it stays as it is, its card too.

    Args:
        folder: the model folder.
        dataset, data_dir, cache_dir, seed, reporter: as for `train`; the photos that it was trained on.
        encoder_weights: as for `Captioner.from_folder`.

    Raises:
        InputError: no model there, or one of other training photos.
    """
    folder = Path(folder)
    if exists(folder / run_folder.RUN_FILE):
        raise InputError(
            f"{folder}: its training was interrupted; --resume goes on with it, and fits the consensus too"
        )
    captioner = Captioner.from_folder(folder, encoder_weights)
    if captioner.dataset != dataset:
        raise InputError(f"{folder}: was trained on --dataset {captioner.dataset.replace('+', ' ')}; name the same")
    table = load_dataset(dataset, data_dir, seed)
    reporter.say(*table.notes)
    splits = {split: table.split(split) for split in ("train", "val")}
    texts = [text for photo in splits["train"] for text in photo.references]
    least = captioner.training.get("min_word_count", Recipe.min_word_count)
    if Tokenizer.fit(texts, least).words != captioner.tokenizer.words:
        raise InputError(
            f"{folder}: knows other words than the captions of these {len(splits['train'])} training photos hold; give "
            "--data_dir, and for shapes --seed, as in its training"
        )
    _fit_consensus(captioner, folder, splits, cache_dir, seed, reporter)
    captioner.save_consensus(folder)
    # It reads the consensus.
    fit_confidence(captioner, folder, splits["val"], cache_dir, reporter)


def _fit_consensus(captioner, folder, splits, cache_dir, seed, reporter):
    """Give the captioner of a folder a Consensus of the training photos; the scores of `val` with it."""
    cache = RegionCache(cache_dir, captioner.dataset, captioner.encoder)
    splits = cache_regions(cache, splits, reporter)
    train = [photo for photo in splits["train"] if photo.references]
    means = cache.means([photo.id for photo in train], reporter.progress)
    captions = [[captioner.tokenizer.encode(text) for text in photo.references] for photo in train]
    captioner.consensus = Consensus.fit(means, captions, len(captioner.tokenizer), seed)
    scores = _score_val(captioner, folder, splits["val"], cache_dir, reporter)
    reporter.say(f"with consensus: val CIDEr {scores['CIDEr']:.3f}, BLEU-4 {scores['Bleu_4']:.3f}")
    return scores


def _score_val(captioner, folder, photos, cache_dir, reporter):
    """Scores of the validation photos' captions, as a user of the captioner gets them."""
    from utils.evaluation.evaluate import Split, evaluate_captioner

    split = Split(captioner.dataset, "val", [photo for photo in photos if photo.references], [])
    beam_sizes = (captioner.training.get("beam_size", Recipe.beam_size),)
    (result,) = evaluate_captioner(split, captioner, str(folder), cache_dir, beam_sizes, reporter)
    scores = metrics.score(result.references, result.captions, ("Bleu", "CIDEr")).corpus
    return scores | {"distinct_captions": len(set(result.captions.values()))}


def _check_workers(distribution, folder, settings):
    """Make sure that the workers were started with the same flags, and read and write the same folder."""
    distribution.check_same(flags=settings)
    # The chief has claimed the folder before it answers, so its file must be seen by now.
    run_file = folder / run_folder.RUN_FILE
    distribution.check_same(output_dir=run_file.stat().st_mtime_ns if exists(run_file) else None)


def _describe_epoch(row):
    if row["val_CIDEr"] is None:
        scores = f"val tags' mean average precision {row['val_tag_precision']:.3f}"
    else:
        scores = (
            f"val loss {row['val_loss']:.3f}, CIDEr {row['val_CIDEr']:.3f}, BLEU-4 {row['val_Bleu_4']:.3f}, "
            f"{row['distinct_captions']} distinct captions"
        )
    if row["stage"] == "start":
        return f"before training: {scores} (validation {row['validation_seconds']:.0f} s)"
    return (
        f"{row['stage']} epoch {row['epoch']}: loss {row['loss']:.3f}, {scores} "
        f"({row['captions_per_second']} captions/s, validation {row['validation_seconds']:.0f} s)"
    )


def _millions(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables) / 1e6


def extract_part(part, dataset, data_dir, cache_dir, recipe, seed=0, reporter=QUIET):
    """Extract the regions of a part of a dataset's photos; other machines do the other parts.

    Args:
        part: (number, count): which part, from 1, of how many.
        dataset, data_dir, cache_dir, recipe, seed, reporter: as for `train`.
    """
    table = load_dataset(dataset, data_dir, seed)
    reporter.say(*table.notes)
    photos = shard_of(table.photos, *part)
    reporter.say(f"part {part[0]} of {part[1]}: {len(photos)} of {len(table.photos)} photos")
    encoder = Captioner.from_folder(recipe.start_from).encoder if recipe.start_from else _make_encoder(recipe, seed)
    cache = RegionCache(cache_dir, dataset, encoder)
    if photos:
        cache_regions(cache, {f"part {part[0]}": photos}, reporter)
    reporter.say(f"{len(cache)} photos are in {cache.folder}")


def _write_history(folder, history):
    with (
        replacing(folder / "history.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, history[0])
        writer.writeheader()
        writer.writerows(history)
    plots.save_figure(plots.training_figure(history), folder / "training.png")
