"""The examples in docstrings are run as they stand."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    ["utils.model.attention", "utils.model.caption", "utils.model.decoder", "utils.model.sentences", "utils.captioner"],
)
def test_examples_give_what_they_show(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
