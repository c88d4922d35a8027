import numpy as np
import pytest

import evaluate
import inference
from tests.conftest import make_decoder
from utils.captioner import Captioner
from utils.data.tokenizer import SPECIAL_WORDS, START, Tokenizer
from utils.ensemble import load_captioner
from utils.errors import InputError
from utils.features.encoders import Encoder

WORDS = ["a", "dog", "cat", "runs", "sits"]


@pytest.fixture
def save_model(tiny_encoder, tmp_path):
    """Return a function that saves a random model and returns the folder of the model."""

    def save(name, words=WORDS, seed=0, units=8, encoder=tiny_encoder):
        tokenizer = Tokenizer([*SPECIAL_WORDS, *words])
        decoder = make_decoder(len(tokenizer), units, encoder.channels, seed)
        Captioner(encoder, tokenizer, decoder, 6, "shapes", {}).save(tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("coarse", [False, True], ids=["one grid", "two grids"])
def test_word_probabilities_are_the_mean_over_the_models(save_model, tiny_encoder, coarse):
    other = Encoder("vgg16", "random", 32, "block3_pool", precision="float32") if coarse else tiny_encoder
    folders = [save_model("a", seed=1), save_model("b", seed=2, units=5, encoder=other)]
    together, *alone = load_captioner(folders), *map(Captioner.from_folder, folders)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")

    def first_word(captioner):
        regions = captioner.encoder.encode(pixels)
        memory = captioner.decoder.remember(regions)
        words = np.full((2, 3), START)
        logits, _, attention = captioner.decoder.step(words, captioner.decoder.initial_state(memory, 3), memory)
        odds = np.exp(np.array(logits))
        maps = np.array(attention).reshape(2, 3, captioner.encoder.rows, captioner.encoder.columns)
        while maps.shape[-1] < tiny_encoder.columns:  # each region becomes four, which share its weight
            maps = maps.repeat(2, -1).repeat(2, -2) / 4
        return odds / odds.sum(axis=-1, keepdims=True), maps

    for joint, one, other in zip(first_word(together), *map(first_word, alone)):
        np.testing.assert_allclose(joint, (one + other) / 2, rtol=1e-4, atol=1e-6)


def test_an_ensemble_of_a_model_with_itself_writes_the_captions_of_the_model(save_model, save_photo):
    folder, photos = save_model("a"), [save_photo(f"{seed}.png", seed=seed) for seed in range(3)]
    alone = load_captioner([folder]).caption(photos)
    for caption, joint in zip(alone, load_captioner([folder, folder]).caption(photos)):
        assert joint.words == caption.words
        assert joint.log_probability == pytest.approx(caption.log_probability, abs=1e-4)
        np.testing.assert_allclose(joint.attention, caption.attention, atol=1e-5)


def test_models_of_different_image_sizes_are_refused_before_loading(save_model, fails):
    folders = [save_model("a"), save_model("b")]
    path = folders[1] / "config.json"
    path.write_text(path.read_text().replace('"image_size": 32', '"image_size": 64'))
    for script in (inference, evaluate):
        message = fails(script, *["--ensemble"] * (script is evaluate), "--model", *folders)
        assert "has image size 64" in message


def test_models_of_different_vocabularies_are_refused(save_model):
    with pytest.raises(InputError, match="has another vocabulary"):
        load_captioner([save_model("a"), save_model("b", words=["a", "bird"])])
