"""Validate a model during training, with a Keras callback that computes the scores of the averaged weights."""

import math
import time

import keras
import numpy as np

from utils.errors import InputError
from utils.evaluation import metrics
from utils.model.caption_faults import best_first, fault
from utils.model.search import Search
from utils.runtime import backend
from utils.training.batches import caption_arrays
from utils.training.losses import CaptionLoss
from utils.training.tagging import BATCH_PHOTOS, tag_precision, tag_shares

# Names of the validation scores in the training history. Scores that a stage does not have are None.
SCORES = ("val_loss", "val_Bleu_4", "val_CIDEr", "distinct_captions", "empty_captions", "val_tag_precision")


class Validation(keras.callbacks.Callback):
    """Compute the scores of a model on the validation photos after each epoch, and add them to the `logs` of Keras.

    The validated model is a copy with averaged weights. So validation changes neither the weights in training nor the
    random states.

    Args:
        setup: a Setup: settings, data and devices of the run.
        stage: the Stage in training.
        source: loads the regions of photos: a RegionSource, PhotoSource or ViewSource.
        averaged: the model that is validated: a Tagger in the tagging stage, else an EndToEnd.

    Attributes:
        scores: the scores of the last validation, a dict with the keys SCORES, such as "val_CIDEr".
        seconds: the time that the last validation took.
    """

    def __init__(self, setup, stage, source, averaged):
        super().__init__()
        self.recipe, self.tokenizer, self.photos = setup.recipe, setup.tokenizer, setup.val
        self.distribution, self.stage, self.source, self.averaged = setup.distribution, stage, source, averaged
        self.scores, self.seconds = None, 0.0
        if not stage.tagging:
            self.search = Search(averaged.decoder, self.recipe.beam_size, self.recipe.max_words)
            self._loss_sums = backend.compiled(
                lambda regions, words, targets: CaptionLoss().sums(targets, averaged.decoder((regions, words))),
                averaged.decoder.variables,
            )

    def on_epoch_end(self, epoch, logs=None):
        if self.distribution.chief:
            self.validate()
        self.scores = self.distribution.from_chief(self.scores)
        # Keras passes this dict to the next callbacks, so they get the validation scores too.
        logs |= {name: score for name, score in self.scores.items() if score is not None}

    def validate(self):
        """Compute the scores on the validation photos. Returns a dict with the keys SCORES, such as "val_CIDEr"."""
        started = time.perf_counter()
        found = self._validate_tags() if self.stage.tagging else self._validate_captions()
        self.scores = {name: found.get(name) for name in SCORES}
        self.seconds = time.perf_counter() - started
        return self.scores

    def write_captions(self, photos):
        """Caption photos with the averaged weights, and compute the loss on the captions that people wrote for them.

        Args:
            photos: a list of Photo.

        Returns:
            (captions, loss). `captions` is a list with the best caption of each photo, a list of words. `loss` is the
            mean cross-entropy per word in nats, under teacher forcing and without label smoothing, a float.
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
            # Pad the last batch to full size. Otherwise the functions would be compiled again for its size.
            regions, *arrays = (np.pad(a, [(0, size - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in (regions, *arrays))
            total, count = self._loss_sums(regions.astype("float32"), *arrays)
            losses, counts = losses + float(total), counts + float(count)
        return captions, losses / max(counts, 1.0)

    def _validate_captions(self):
        """Caption the validation photos, and return a dict with the scores, such as `val_CIDEr`, and the loss."""
        captions, loss = self.write_captions(self.photos)
        if not math.isfinite(loss):
            raise InputError(
                f"{self.stage.name}: the validation loss is not finite, so the weights are useless; train again "
                "with a lower --learning_rate and --overwrite"
            )
        written = [" ".join(words) for words in captions]
        scores = metrics.evaluate(
            {photo.id: list(photo.references) for photo in self.photos},
            {photo.id: caption for photo, caption in zip(self.photos, written)},
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
        """Predict the words in the captions of the validation photos, and return {"val_tag_precision": precision}."""
        recipe, logits, shares = self.recipe, [], []
        for start in range(0, len(self.photos), BATCH_PHOTOS):
            photos = self.photos[start : start + BATCH_PHOTOS]
            captions = caption_arrays(photos, self.tokenizer, recipe.captions_per_photo, recipe.max_words)[1]
            shares.append(tag_shares(captions, len(self.tokenizer)))
            logits.append(self.averaged.tags(self.source.regions(self.averaged.encoder, photos)))
        return {"val_tag_precision": round(tag_precision(np.concatenate(shares), np.concatenate(logits)), 5)}
