"""Test that what programs import has type hints, for editors and type checkers."""

import inspect
import typing

import pytest

from utils import captioner
from utils.data import datasets, tokenizer
from utils.evaluation import metrics
from utils.features import cache, encoders
from utils.model import attention, decoder
from utils.training import recipes

PUBLIC = [
    captioner.Captioner, captioner.Caption, encoders.Encoder, cache.RegionCache, tokenizer.Tokenizer,
    tokenizer.split_words, tokenizer.join_words, attention.BahdanauAttention, decoder.AttentionDecoder,
    datasets.load_dataset, recipes.Recipe, metrics.Scores, metrics.evaluate, metrics.score, metrics.available,
]  # fmt: skip


def functions(public):
    """A function itself, or the public functions of a class and its constructor."""
    if not inspect.isclass(public):
        return [inspect.unwrap(public)]
    members = [member for name, member in vars(public).items() if name == "__init__" or not name.startswith("_")]
    members = [getattr(each, "__func__", None) or getattr(each, "fget", None) or each for each in members]
    members = [getattr(each, "func", each) for each in members]  # of cached properties
    return [inspect.unwrap(each) for each in members if inspect.isroutine(each)]


@pytest.mark.parametrize("public", PUBLIC, ids=lambda each: each.__name__)
def test_all_arguments_and_results_have_hints(public):
    for function in functions(public):
        hints = typing.get_type_hints(function)  # raises for a name that is not there
        parameters = inspect.signature(function).parameters.values()
        named = {each.name for each in parameters if each.name not in ("self", "cls") and each.kind != each.VAR_KEYWORD}
        assert named <= hints.keys(), function
        assert "return" in hints, function
