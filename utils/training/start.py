"""Training that begins with a trained model: its encoder, its decoder, its words and new ones."""

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from utils.data.tokenizer import Tokenizer
from utils.errors import InputError
from utils.model.decoder import AttentionDecoder
from utils.model.model_folder import read_config
from utils.training.recipes import INHERITED

# The rarest share of known words; what they have in common is where new words begin.
_RARE = 0.25


def inherit(recipe, given=()):
    """The recipe with what comes from the model in its `start_from`.

    Args:
        recipe: a Recipe.
        given: names of fields that were asked for.

    Raises:
        InputError: no model there, or something was asked for that the model decides.
    """
    config = read_config(recipe.start_from)
    model = config["encoder"] | config["decoder"] | {"max_words": config["max_words"]}
    model |= {"encoder": config["encoder"]["name"], "encoder_weights": config["encoder"]["weights"]}
    for name in given:
        if name in INHERITED and getattr(recipe, name) != model[name]:
            raise InputError(
                f"{name} {getattr(recipe, name)}: the model in {recipe.start_from} has {model[name]}; leave it out, or "
                "train from nothing with --start_from none"
            )
    return replace(recipe, **{name: model[name] for name in INHERITED})


def add_words(tokenizer, captions, min_word_count):
    """The Tokenizer with the words that captions hold `min_word_count` times or more, new ones last."""
    found = Tokenizer.fit(captions, min_word_count).words
    return Tokenizer([*tokenizer.words, *(word for word in found if word not in tokenizer.number)])


def widen(decoder, words):
    """A decoder with the same weights that knows more words.

    A new word begins as the mean of the rarest known ones, in its embedding and in how often it is expected: it is
    written seldom until training has found what it means.

    Args:
        decoder: an AttentionDecoder with weights.
        words: of the new vocabulary, which begins with the old one.
    """
    known = decoder.vocabulary_size
    rare = slice(known - max(1, round(_RARE * known)), known)
    config = decoder.get_config()
    wider = AttentionDecoder(
        **{name: config[name] for name in ("units", "attention_units", "embedding_size", "dropout", "grounded")},
        value_size=config["value_size"],
        vocabulary_size=words,
    )
    wider.build((None, None, decoder.region_mean.shape[0]))
    for target, source in zip(wider.weights, decoder.weights, strict=True):
        values = keras.ops.convert_to_numpy(source)
        if target.shape != source.shape:
            new = np.repeat(values[rare].mean(axis=0, keepdims=True), words - known, axis=0)
            values = np.concatenate([values, new])
        target.assign(values)
    return wider


def hash_files(folder):
    """A hash of all weights in a model folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.h5")):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
