import numpy as np
import pytest

from tests.conftest import make_decoder
from utils.data.tokenizer import SPECIAL_WORDS, Tokenizer
from utils.errors import InputError
from utils.training.recipes import Recipe
from utils.training.start_from_model import add_words, inherit, widen


def test_new_words_come_after_the_known_ones():
    tokenizer = add_words(Tokenizer([*SPECIAL_WORDS, "a", "dog"]), ["a zebra", "two zebra", "a gnu"], 2)
    assert tokenizer.words == [*SPECIAL_WORDS, "a", "dog", "zebra"]


@pytest.mark.parametrize("options", [{}, {"grounded": True, "value_size": 4}])
def test_a_widened_decoder_keeps_known_words_and_gives_new_ones_little_probability(options):
    decoder = make_decoder(words=12, **options)
    wider = widen(decoder, 14)
    generator = np.random.default_rng(0)
    regions, words = generator.normal(size=(2, 3, 6)).astype("float32"), np.array([[[1, 5, 7]]] * 2)
    before, after = (np.asarray(each((regions, words))) for each in (decoder, wider))
    np.testing.assert_allclose(after[..., :12], before, atol=1e-5)
    # Logits are linear in the embedding and the bias.
    np.testing.assert_allclose(after[..., 12], before[..., 9:].mean(-1), atol=1e-5)


def test_settings_that_differ_from_the_starting_model_are_an_error(tmp_path, tiny_captioner):
    tiny_captioner.save(tmp_path)
    recipe = inherit(Recipe(start_from=str(tmp_path), learning_rate=0.5))
    assert (recipe.encoder, recipe.image_size, recipe.units, recipe.learning_rate) == ("vgg16", 32, 8, 0.5)
    with pytest.raises(InputError, match=r"units 256: the model in .* has 8; leave it out"):
        inherit(Recipe(start_from=str(tmp_path), units=256), ["units"])
