"""The examples in docstrings are run as they stand."""

import doctest
import importlib

import pytest

MODULES = (
    "utils.captioner",
    "utils.data.penn_treebank",
    "utils.data.tokenizer",
    "utils.errors",
    "utils.model.attention",
    "utils.model.caption",
    "utils.model.decoder",
    "utils.model.caption_faults",
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_show(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
