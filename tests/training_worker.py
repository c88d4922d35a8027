"""A small training run in a process of its own, which can end by SIGKILL at a chosen moment.

    python -m tests.training_worker FOLDER [step:N | checkpoint:N]

Kills itself after step N, or while checkpoint N is being written. Prints the
hash of all that training produced if it lives.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from utils import training
from utils.recipes import Recipe
from utils.tokenizer import Tokenizer
from utils.training import Trainer

CAPTIONS = ("a red dog runs", "a cat sits", "two birds fly over a tree", "a dog sits", "the cat runs to a red tree")


class Regions:
    """Random regions in place of a RegionCache."""

    def stack(self, image_ids):
        return np.stack([np.random.default_rng(int(i)).normal(size=(4, 6)).astype("float32") for i in image_ids])


def make_trainer(folder):
    """A Trainer of 10 photos in batches of 3, a checkpoint every 2 steps, dropout on."""
    photos = [SimpleNamespace(id=str(i), references=tuple(CAPTIONS[(i + j) % 5] for j in range(3))) for i in range(14)]
    recipe = Recipe(
        epochs=3, batch_size=3, units=16, attention_units=8, embedding_size=8, max_words=8, captions_per_photo=3,
        dropout=0.3, warmup_steps=3, beam_size=2, learning_rate=0.02,
    )  # fmt: skip
    tokenizer = Tokenizer.fit(CAPTIONS, 1)
    return Trainer(recipe, tokenizer, Regions(), photos[:10], photos[10:], folder, seed=1, checkpoint_steps=2)


def die():
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder, moment=""):
    """Train, or go on training, in a folder."""
    kind, _, count = moment.partition(":")
    Path(folder).mkdir(exist_ok=True)
    trainer = make_trainer(folder)
    trainer.resume()
    if kind == "step":
        inner, steps = training.Run.on_train_batch_end, []

        def step(self, *arguments, **named):
            steps.append(1)
            inner(self, *arguments, **named)
            if len(steps) == int(count):
                die()

        training.Run.on_train_batch_end = step
    elif kind == "checkpoint":
        sync, syncs = os.fsync, []

        def fsync(descriptor):
            syncs.append(1)
            if len(syncs) == int(count):
                os.truncate(Path(folder) / "checkpoint.partial", 1000)
                die()
            sync(descriptor)

        os.fsync = fsync
    trainer.fit()
    digest = hashlib.sha256()
    for model in (trainer.model, trainer.averaged):
        for value in model.get_weights():
            digest.update(value.tobytes())
    history = [(row["loss"], row["val_CIDEr"], row["val_Bleu_4"]) for row in trainer.history]
    print("result", digest.hexdigest(), history)


if __name__ == "__main__":
    main(*sys.argv[1:])
