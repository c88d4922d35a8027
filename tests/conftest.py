"""Fixtures: real photos and weights where they lie beside the repository, tiny models everywhere else."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.web_page import find_chromium, start_chromium
from utils import console

# TensorFlow is imported late: the process that hands out the tests, and many tests, need none.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """The folder of real photos, captions and weights."""
    if not SHARED.is_dir():
        pytest.skip("needs the real photos and weights of ../shared")
    return SHARED


@pytest.fixture(scope="session")
def tiny_encoder():
    """VGG16 with seeded random weights on 32 × 32 pixels: 16 × 16 regions of 64 channels."""
    from utils.features.encoders import Encoder

    return Encoder("vgg16", "random", image_size=32, layer="block1_pool", precision="float32")


def make_decoder(words=9, units=8, channels=6, seed=0, **options):
    """A small random decoder, its weights large enough to prefer some words."""
    from utils.model.decoder import AttentionDecoder

    decoder = AttentionDecoder(words, units=units, attention_units=5, embedding_size=4, **options)
    decoder.build((None, None, channels))
    generator = np.random.default_rng(seed)
    for variable in decoder.trainable_variables:
        variable.assign(generator.normal(0, 0.8, variable.shape))
    return decoder


@pytest.fixture
def decoder():
    """A small decoder over 6 channels and 9 words."""
    return make_decoder()


def make_captioner(encoder):
    """A whole captioner with random weights."""
    from utils.captioner import Captioner
    from utils.data.tokenizer import SPECIAL_WORDS, Tokenizer

    tokenizer = Tokenizer([*SPECIAL_WORDS, "a", "dog", "cat", "runs", "sits"])
    return Captioner(encoder, tokenizer, make_decoder(len(tokenizer), channels=encoder.channels), 6, "shapes", {})


@pytest.fixture(scope="session")
def tiny_captioner(tiny_encoder):
    """A captioner that tests share. A test that changes its parts makes its own."""
    return make_captioner(tiny_encoder)


@pytest.fixture
def command(monkeypatch, capfd):
    """A function that runs a script with arguments: (status, standard output, standard error)."""

    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            console.run(script.main)
        output = capfd.readouterr()
        return ended.value.code, output.out, output.err

    return call


@pytest.fixture
def fails(command):
    """A function that runs a script, and checks that it ends with one clear line and status 2."""

    def call(script, *arguments):
        status, _, error = command(script, *arguments)
        lines = error.strip().splitlines()
        assert status == 2
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert "Traceback" not in error
        return lines[-1]

    return call


@pytest.fixture
def save_photo(tmp_path):
    """A function that writes a random photo and returns its path."""

    def save(name="photo.png", size=(40, 30), seed=0):
        from PIL import Image

        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), "uint8")
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium, driven by selenium."""
    pytest.importorskip("selenium.webdriver")
    if not find_chromium():
        pytest.skip("needs chromium and chromedriver")
    with start_chromium(tmp_path / "browser") as driven:
        yield driven


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
