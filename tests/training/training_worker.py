"""Run a small training in its own process, which can be killed at a chosen moment."""

import hashlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from PIL import Image

from utils.data.tokenizer import Tokenizer
from utils.features.encoders import Encoder
from utils.model import decoder
from utils.runtime.devices import Devices
from utils.training import trainer
from utils.training.batches import PhotoSource, RegionSource
from utils.training.recipes import Recipe
from utils.training.trainer import Setup, Trainer

CAPTIONS = ("a red dog runs", "a cat sits", "two birds fly over a tree", "a dog sits", "the cat runs to a red tree")


class Regions:
    """Replace a RegionCache. The regions are random."""

    def stack(self, image_ids):
        return np.stack([np.random.default_rng(int(i)).normal(size=(4, 6)).astype("float32") for i in image_ids])


def make_photos(folder):
    """Write 14 photos of coloured noise, and return them with captions."""
    photos = []
    for i in range(14):
        path = Path(folder) / f"{i}.png"
        pixels = np.random.default_rng(i).integers(0, 256, (3, 3, 3), "uint8")
        Image.fromarray(pixels).resize((40, 30)).save(path)
        references = tuple(CAPTIONS[(i + j) % 5] for j in range(3))
        photos.append(SimpleNamespace(id=str(i), path=path, references=references))
    return photos


def make_trainer(folder, stage="regions", distribution=None, **changes):
    """Make a Trainer of 10 photos in batches of 3, with dropout and a checkpoint every 2 steps.

    Args:
        folder: folder of the run.
        stage: name of a stage; or "regions" for the decoder stage of a recipe that does not train the encoder; or
            "grounded" for the same stage with a grounded decoder, without dropout of the previous word, so that the
            results of two devices and of one device can be compared.
        distribution: the devices; None for one device.
        changes: values of fields of the recipe.
    """
    Path(folder).mkdir(exist_ok=True)
    photos = make_photos(folder)
    recipe = Recipe(
        epochs=3, tagging_epochs=2, finetune_epochs=2, scst_epochs=2, finetune_encoder="block1_conv1",
        scst_dropout=0.1, batch_size=3,
        units=16, attention_units=8, embedding_size=8, max_words=8, captions_per_photo=3,
        dropout=0.3, warmup_steps=3, beam_size=2, learning_rate=0.02, precision="float32",
    )  # fmt: skip
    recipe = replace(recipe, **changes)
    tokenizer = Tokenizer.fit(CAPTIONS, 1)
    last_word_dropout = decoder._LAST_WORD_DROPOUT
    if stage == "grounded":
        recipe, last_word_dropout = replace(recipe, grounded=True, attention_entropy=0.0075), 0.0
        stage = "regions"
    if stage == "regions":
        recipe, stage = replace(recipe, finetune_encoder=None), "decoder"
    stage = next(each for each in recipe.stages() if each.name == stage)
    stage = replace(stage, dropout=changes.get("dropout", stage.dropout))  # the tagging stage has its own
    source = RegionSource(Regions())
    if stage.on_photos:
        source = PhotoSource(Encoder("vgg16", "random", 32, "block2_pool", precision="float32"))
    with patch.object(decoder, "_LAST_WORD_DROPOUT", last_word_dropout):
        setup = Setup(recipe, tokenizer, photos[:10], photos[10:], folder, 1, distribution or Devices())
        return Trainer(setup, stage, source, checkpoint_steps=2)


def die():
    """End this process without any clean-up, like a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment, folder):
    """Make this process end after a given step, or while a given checkpoint is written."""
    kind, _, count = moment.partition(":")
    if kind == "step":
        inner, steps = trainer.Run.on_train_batch_end, []

        def step(self, *arguments, **named):
            steps.append(1)
            inner(self, *arguments, **named)
            if len(steps) == int(count):
                die()

        trainer.Run.on_train_batch_end = step
    elif kind == "checkpoint":
        sync, syncs = os.fsync, []

        def fsync(descriptor):
            syncs.append(1)
            if len(syncs) == int(count):
                os.truncate(next(Path(folder).glob("partial.*")), 1000)
                die()
            sync(descriptor)

        os.fsync = fsync


def main(folder, stage, moment=""):
    """Train, or resume training, in a folder, and print a hash of the results.

    Args:
        folder: folder of the run.
        stage: as for `make_trainer`.
        moment: "step:N" to die after step N, "checkpoint:N" while checkpoint N is being written.
    """
    trainer = make_trainer(folder, stage)
    if trainer.checkpoint.path.exists():
        trainer.resume()
    die_at(moment, folder)
    trainer.fit()
    digest = hashlib.sha256()
    for model in (trainer.model, trainer.averaged):
        for value in model.get_weights():
            digest.update(value.tobytes())
    history = [(row["loss"], row["val_CIDEr"], row["val_tag_precision"]) for row in trainer.history]
    print("result", digest.hexdigest(), history)
