"""Start training from a trained model: use its encoder, decoder and vocabulary, and add new words."""

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

# Share of the known words that count as rare. The weights of a new word start at the mean of those of rare words.
_RARE = 0.25


def inherit(recipe, given=()):
    """Return a copy of a recipe that fits the model with which training starts, the model in `recipe.start_from`.

    Settings on which the shapes of the weights depend, such as the number of units, get the values of this model.

    Args:
        recipe: a Recipe, the training settings.
        given: names of the settings that the user has given, a list or dict.

    Raises:
        InputError: the folder holds no model, or the user has given another value for one of these settings.
    """
    config = read_config(recipe.start_from)
    model = config["encoder"] | config["decoder"] | {"max_words": config["max_words"]}
    model |= {"encoder": config["encoder"]["name"], "encoder_weights": config["encoder"]["weights"]}
    for name in given:
        if name in INHERITED and getattr(recipe, name) != model[name]:
            raise InputError(
                f"{name} {getattr(recipe, name)}: the model in {recipe.start_from} has {model[name]}; leave it out, or "
                "start from random weights with --start_from none"
            )
    return replace(recipe, **{name: model[name] for name in INHERITED})


def add_words(tokenizer, captions, min_word_count):
    """Extend the vocabulary of a trained model by the new words of captions.

    Args:
        tokenizer: Tokenizer with the known words.
        captions: list of strings.
        min_word_count: smallest number of times that a new word must occur in the captions.

    Returns:
        A Tokenizer with the known words, followed by the new words.
    """
    found = Tokenizer.fit(captions, min_word_count).words
    return Tokenizer([*tokenizer.words, *(word for word in found if word not in tokenizer.number)])


def widen(decoder, words):
    """Copy a decoder, with a larger vocabulary.

    The embedding and the output bias of each new word are means over the rarest known words. So the decoder seldom
    writes a new word before it is trained.

    Args:
        decoder: AttentionDecoder with weights. Its vocabulary is ordered from frequent to rare words.
        words: size of the new vocabulary, which begins with the words of the old one.

    Returns:
        An AttentionDecoder.
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
    """Compute a hash of all files of weights (.h5) in a model folder: a str of 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.h5")):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
