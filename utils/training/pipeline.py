"""From a dataset to a model folder: what train.py and train.ipynb call."""

import csv
import json
import math
import os
import zlib
from dataclasses import asdict
from pathlib import Path

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.tokenizer import Tokenizer
from utils.errors import InputError
from utils.evaluation import metrics
from utils.features.cache import RegionCache, shard_of
from utils.features.encoders import Encoder
from utils.features.extraction import cache_regions, leave_out_unreadable
from utils.model.consensus import Consensus
from utils.outputs import plots
from utils.progress import silent
from utils.runtime import backend
from utils.runtime.devices import open_distribution
from utils.training import run_folder
from utils.training.batches import PhotoSource, RegionSource
from utils.training.checkpoint import read_progress
from utils.training.confidence import fit_confidence
from utils.training.model_card import write_card
from utils.training.recipes import Recipe
from utils.training.trainer import Trainer

# The encoder after the tagging stage; lies in a model folder only while it is being trained.
_TAGGED_ENCODER = "tagged_encoder.weights.h5"


def train(
    dataset,
    data_dir,
    cache_dir,
    output_dir,
    recipe,
    seed=0,
    overwrite=False,
    resume=False,
    say=lambda line: None,
    progress=silent,
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
        say: called with lines for a person.
        progress: called as tqdm is.
        callbacks: Keras callbacks for the fit.
        distribute: None, "mirrored" or "multiworker", as for `open_distribution`.

    Returns:
        The best epoch's Captioner, read from output_dir; on other workers than the chief, None.

    Raises:
        InputError: an argument, a file or the disk is not as it must be.
    """
    if distribute and recipe.scst_epochs:
        # Replicas would draw other captions than one device does, which could not be held against anything.
        raise InputError("self-critical training runs on one device: leave out --distribute, or --scst_epochs")
    # First of all, so that whatever is wrong with one worker ends all of them.
    with open_distribution(distribute, say) as distribution:
        return _train(
            dataset, data_dir, cache_dir, Path(output_dir), recipe, seed, overwrite, resume, say, progress, callbacks,
            distribution,
        )  # fmt: skip


def _train(
    dataset, data_dir, cache_dir, folder, recipe, seed, overwrite, resume, say, progress, callbacks, distribution
):
    """`train` on devices that are connected."""
    settings = {"dataset": dataset, "seed": seed, "backend": backend.name(), "recipe": asdict(recipe)}
    if distribution.chief:
        run_folder.check(folder, settings, overwrite, resume)
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    splits = {split: table.split(split) for split in ("train", "val")}
    say(f"{dataset}: " + ", ".join(f"{len(photos)} {split}" for split, photos in splits.items()) + " photos")
    tokenizer = Tokenizer.fit((r for photo in splits["train"] for r in photo.references), recipe.min_word_count)
    say(f"vocabulary: {len(tokenizer)} words that occur {recipe.min_word_count} times or more")
    encoder = Encoder(recipe.encoder, recipe.encoder_weights, recipe.image_size, recipe.layer, seed)
    if recipe.finetune_encoder:
        encoder.freeze_below(recipe.finetune_encoder)  # a layer that does not exist is told now
    if dataset != "shapes" and recipe.encoder_weights in ("random", "scenes"):
        say(f"{encoder.name} with weights of {recipe.encoder_weights} has never seen a photo: expect poor captions")
    if distribution.chief:
        run_folder.claim(folder, settings, resume)
    _check_workers(distribution, folder, settings)
    begun = read_progress(folder / run_folder.CHECKPOINT_FILE) or {"stage": None, "precision": None, "history": []}
    history, precision = begun["history"], begun["precision"]
    stages = recipe.stages()
    stages = stages[next((n for n, stage in enumerate(stages) if stage.name == begun["stage"]), 0) :]
    if stages[0].on_photos:
        splits = leave_out_unreadable(splits, say, progress)
    for stage in stages:
        start = None
        if stage.name not in ("tagging", "decoder"):
            captioner = Captioner.from_folder(folder)
            start, encoder = captioner.decoder, captioner.encoder
        elif stage.name == "decoder" and stage.on_photos:
            encoder.load_trained(folder / _TAGGED_ENCODER)
        if stage.on_photos:
            # The encoder's double work in use is little beside what it does in training.
            source = PhotoSource(encoder.copy(mirror=True))
        else:
            cache = RegionCache(cache_dir, dataset, encoder)
            splits = cache_regions(cache, splits, say, progress)
            source = RegionSource(cache)
        learnt = [(photo.id, photo.references) for photo in splits["train"]]
        distribution.check_same(training_photos=zlib.crc32(json.dumps(learnt).encode()))
        trainer = Trainer(
            recipe, stage, tokenizer, source, splits["train"], splits["val"], folder, seed, start, history,
            precision, distribution=distribution,
        )  # fmt: skip
        if stage.name == begun["stage"]:
            trainer.resume()
        _train_stage(trainer, encoder, folder, settings, say, progress, callbacks)
        history, precision = trainer.history, trainer.progress["precision"]
    captioner = None
    if distribution.chief:
        captioner, scores = Captioner.from_folder(folder), {}
        if recipe.consensus:
            scores = _fit_consensus(captioner, folder, splits, cache_dir, seed, say, progress)
            best = max(row["val_CIDEr"] for row in history if row["val_CIDEr"] is not None)
            if scores["CIDEr"] >= best:
                captioner.save_consensus(folder)
            else:
                say(f"without it {best:.3f}: consensus is left out")
                captioner, scores = Captioner.from_folder(folder), {}
        fit_confidence(captioner, folder, splits["val"], cache_dir, say, progress)
        counts = {split: len(photos) for split, photos in splits.items()}
        write_card(folder, captioner, history, counts, scores)
        for name in (_TAGGED_ENCODER, run_folder.RUN_FILE, run_folder.CHECKPOINT_FILE):
            (folder / name).unlink(missing_ok=True)
    # Other workers stay until the chief has done all.
    distribution.from_chief(None)
    return captioner


def add_consensus(
    dataset, data_dir, cache_dir, folder, encoder_weights=None, seed=0, say=lambda line: None, progress=silent
):
    """Fit the consensus of a model folder anew; all else in it stays as it is, its card too.

    Args:
        folder: the model folder.
        dataset, data_dir, cache_dir, seed, say, progress: as for `train`; the photos that it was trained on.
        encoder_weights: as for `Captioner.from_folder`.

    Raises:
        InputError: no model there, or one of other training photos.
    """
    folder = Path(folder)
    if (folder / run_folder.RUN_FILE).exists():
        raise InputError(
            f"{folder}: its training was interrupted; --resume goes on with it, and fits the consensus too"
        )
    captioner = Captioner.from_folder(folder, encoder_weights)
    if captioner.dataset != dataset:
        raise InputError(f"{folder}: was trained on --dataset {captioner.dataset.replace('+', ' ')}; name the same")
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    splits = {split: table.split(split) for split in ("train", "val")}
    texts = [text for photo in splits["train"] for text in photo.references]
    least = captioner.training.get("min_word_count", Recipe.min_word_count)
    if Tokenizer.fit(texts, least).words != captioner.tokenizer.words:
        raise InputError(
            f"{folder}: knows other words than the captions of these {len(splits['train'])} training photos hold; give "
            "--data_dir, and for shapes --seed, as in its training"
        )
    _fit_consensus(captioner, folder, splits, cache_dir, seed, say, progress)
    captioner.save_consensus(folder)
    # It reads the consensus.
    fit_confidence(captioner, folder, splits["val"], cache_dir, say, progress)


def _fit_consensus(captioner, folder, splits, cache_dir, seed, say, progress):
    """Give the captioner of a folder a Consensus of the training photos; the scores of `val` with it."""
    from utils.evaluation.evaluate import Split, evaluate_captioner

    cache = RegionCache(cache_dir, captioner.dataset, captioner.encoder)
    splits = cache_regions(cache, splits, say, progress)
    train = [photo for photo in splits["train"] if photo.references]
    means = cache.means([photo.id for photo in train], progress)
    captions = [[captioner.tokenizer.encode(text) for text in photo.references] for photo in train]
    captioner.consensus = Consensus.fit(means, captions, len(captioner.tokenizer), seed)
    split = Split(captioner.dataset, "val", [photo for photo in splits["val"] if photo.references], [])
    beam_sizes = (captioner.training.get("beam_size", Recipe.beam_size),)
    (result,) = evaluate_captioner(split, captioner, str(folder), cache_dir, beam_sizes, say, progress)
    scores = metrics.score(result.references, result.captions, ("Bleu", "CIDEr")).corpus
    scores["distinct_captions"] = len(set(result.captions.values()))
    say(f"with consensus: val CIDEr {scores['CIDEr']:.3f}, BLEU-4 {scores['Bleu_4']:.3f}")
    return scores


def _check_workers(distribution, folder, settings):
    """Make sure that the workers were started with the same flags, and read and write the same folder."""
    distribution.check_same(flags=settings)
    # The chief has claimed the folder before it answers, so its file must be seen by now.
    run_file = folder / run_folder.RUN_FILE
    distribution.check_same(output_dir=run_file.stat().st_mtime_ns if run_file.exists() else None)


def _train_stage(trainer, encoder, folder, settings, say, progress, callbacks):
    """Fit one stage; whatever is the best so far lies in the folder."""
    recipe, stage = trainer.recipe, trainer.stage
    say(
        f"{stage.name}: {_millions(trainer.model):.1f} million weights are trained"
        + (f", {_millions(trainer.model.encoder.network):.1f} of them the encoder's" if stage.trains_encoder else "")
        + f"; {encoder.rows} × {encoder.columns} regions, {trainer.progress['precision']}, "
        f"{trainer.batches.steps_per_epoch} steps an epoch, {stage.epochs} epochs at most"
    )

    def after_epoch(trainer):
        averaged = trainer.averaged
        if trainer.is_best and stage.tagging:
            partial = folder / f"partial.{_TAGGED_ENCODER}"
            averaged.encoder.network.save_weights(partial)
            os.replace(partial, folder / _TAGGED_ENCODER)
        elif trainer.is_best:
            Captioner(
                averaged.encoder or encoder,
                trainer.tokenizer,
                averaged.decoder,
                recipe.max_words,
                settings["dataset"],
                settings["recipe"],
            ).save(folder)
        _write_history(folder, trainer.history)
        say(_describe_epoch(trainer.history[-1]) + (", best so far" if trainer.is_best else ""))

    trainer.fit(after_epoch, progress, callbacks)
    if trainer.should_stop():
        say(f"{stage.name} stopped: no better score for {recipe.patience} epochs")


def _describe_epoch(row):
    if row["val_CIDEr"] is None:
        scores = f"val tags' mean average precision {row['val_tag_precision']:.3f}"
    else:
        scores = (
            f"val CIDEr {row['val_CIDEr']:.3f}, BLEU-4 {row['val_Bleu_4']:.3f}, "
            f"{row['distinct_captions']} distinct captions"
        )
    return (
        f"{row['stage']} epoch {row['epoch']}: loss {row['loss']:.3f}, {scores} "
        f"({row['captions_per_second']} captions/s, validation {row['validation_seconds']:.0f} s)"
    )


def _millions(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables) / 1e6


def extract_part(part, dataset, data_dir, cache_dir, recipe, seed=0, say=lambda line: None, progress=silent):
    """Extract the regions of a part of a dataset's photos; other machines do the other parts.

    Args:
        part: (number, count): which part, from 1, of how many.
        dataset, data_dir, cache_dir, recipe, seed, say, progress: as for `train`.
    """
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    photos = shard_of(table.photos, *part)
    say(f"part {part[0]} of {part[1]}: {len(photos)} of {len(table.photos)} photos")
    encoder = Encoder(recipe.encoder, recipe.encoder_weights, recipe.image_size, recipe.layer, seed)
    cache = RegionCache(cache_dir, dataset, encoder)
    if photos:
        cache_regions(cache, {f"part {part[0]}": photos}, say, progress)
    say(f"{len(cache)} photos are in {cache.folder}")


def _write_history(folder, history):
    temporary = folder / "history.partial"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0])
        writer.writeheader()
        writer.writerows(history)
    os.replace(temporary, folder / "history.csv")
    plots.save_figure(plots.training_figure(history), folder / "training.png")
