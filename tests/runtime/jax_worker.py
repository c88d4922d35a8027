"""Caption photos and train small models with Keras's JAX backend. This is run as a separate process."""

import json
from pathlib import Path

import keras

from tests.training.training_worker import make_trainer
from utils.captioner import Captioner
from utils.features.encoders import Encoder
from utils.training.pretraining.scene_labels import SceneLabels
from utils.training.pretraining.stage import Pretraining


def main(model, photos, folder):
    """Train on photos and on rewards, pretrain on scenes, and caption photos. Prints the results as JSON.

    Args:
        model: the folder of the model that captions.
        photos: a folder of photos to caption.
        folder: the folder for the files of the trainings.
    """
    captioner, photos, folder = Captioner.from_folder(model), sorted(Path(photos).iterdir()), Path(folder)
    losses = {}
    for stage in ("finetuning", "self-critical"):
        trainer = make_trainer(folder / stage, stage)
        trainer.fit()
        losses[stage] = [row["loss"] for row in trainer.history]
    rows = []
    encoder = Encoder("vgg16", "random", 32, captioner.encoder.layer)
    labels = SceneLabels(32, encoder.rows, encoder.columns)
    Pretraining(encoder, labels, folder, steps=8, batch_size=8, learning_rate=1e-2).fit(0.0, rows.append)
    losses["pretraining"] = [row["loss"] for row in rows]
    captions = [
        {"text": each.text, "log_probability": each.log_probability, "attention": each.attention.tolist()}
        for each in captioner.caption(photos)
    ]
    print(json.dumps({"backend": keras.config.backend(), "captions": captions, "losses": losses}))
