import itertools

import pytest

from utils.runtime import hardware


@pytest.fixture
def rates(monkeypatch):
    """Sets the rates that are measured, in the order of the turns, again and again; nothing is remembered."""

    def use(**rates):
        hardware._best_rates.cache_clear()
        found = {dtype: itertools.cycle(values) for dtype, values in rates.items()}
        monkeypatch.setattr(hardware, "measure_matmul_rate", lambda dtype, **_: next(found[dtype]))

    yield use
    hardware._best_rates.cache_clear()


def test_what_else_the_machine_does_does_not_choose_the_arithmetic(rates):
    rates(float32=[30, 130, 128, 131], bfloat16=[119, 118, 120, 117])
    assert not hardware.bfloat16_is_faster()
    rates(float32=[468, 466], bfloat16=[200, 819])
    assert hardware.bfloat16_is_faster()
    assert hardware.matmul_rate("float32") == 468
