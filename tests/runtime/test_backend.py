import importlib.util
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import pretrain
from utils.captioner import Captioner
from utils.errors import InputError
from utils.runtime import backend
from utils.runtime.distribution import open_distribution


@pytest.mark.slow
def test_jax_gives_the_same_captions_and_can_train(tmp_path, tiny_captioner, save_photo, monkeypatch):
    pytest.importorskip("jax")
    photos = [save_photo(f"photos/{number}.png", seed=number) for number in range(3)]
    # From the same seed, the backends generate different random weights.
    monkeypatch.setattr(tiny_captioner.encoder, "weights", "trained")
    tiny_captioner.save(tmp_path / "model")
    # As if TensorFlow were not installed.
    program = (
        "import sys; sys.modules['tensorflow'] = None; from tests.runtime.jax_worker import main; main(*sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "model", photos[0].parent, tmp_path],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    for theirs, ours in zip(found["captions"], Captioner.from_folder(tmp_path / "model").caption(photos), strict=True):
        assert theirs["text"] == ours.text
        assert math.isclose(theirs["log_probability"], ours.log_probability, rel_tol=1e-2)
        np.testing.assert_allclose(theirs["attention"], ours.attention, atol=1e-2)
    for name in ("finetuning", "pretraining"):
        losses = found["losses"][name]
        assert losses[-1] < losses[0]
    assert len(found["losses"]["self-critical"]) == 2


def test_several_devices_need_tensorflow(monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "jax")
    with pytest.raises(InputError, match="--distribute needs Keras's TensorFlow backend"):
        open_distribution("mirrored", print)


@pytest.mark.parametrize(("asked", "told"), [("torch", "set tensorflow or jax"), ("jax", "pip install jax")])
def test_an_unavailable_backend_is_reported_in_one_line(asked, told, monkeypatch, fails):
    monkeypatch.setenv("KERAS_BACKEND", asked)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert told in fails(pretrain)
