import keras
import numpy as np
import pytest

from tests.conftest import make_decoder
from utils.data.tokenizer import PAD, START
from utils.model.decoder import AttentionDecoder


@pytest.fixture(params=[{}, {"grounded": True}, {"value_size": 3}], ids=["", "grounded", "values projected"])
def options(request):
    return request.param


@pytest.fixture
def decoder(options):
    return make_decoder(**options)


@pytest.fixture
def batch():
    generator = np.random.default_rng(3)
    regions = generator.normal(size=(2, 4, 6)).astype("float32")
    words = generator.integers(4, 9, (2, 3, 5))
    words[:, :, 0] = START
    return regions, words


def test_teacher_forcing_and_single_steps_give_equal_logits(decoder, batch):
    regions, words = batch
    together = np.array(decoder((regions, words)))
    memory = decoder.remember(regions)
    state = decoder.initial_state(memory, words.shape[1])
    for position in range(words.shape[2]):
        logits, state, attention = decoder.step(words[:, :, position], state, memory)
        np.testing.assert_allclose(logits, together[:, :, position], atol=1e-5)
        np.testing.assert_allclose(np.sum(attention, -1), 1, atol=1e-6)


def test_later_words_and_padding_do_not_change_earlier_logits(decoder, batch):
    regions, words = batch
    cut = words.copy()
    cut[:, :, 3:] = PAD
    full, short = np.array(decoder((regions, words))), np.array(decoder((regions, cut)))
    np.testing.assert_allclose(full[:, :, :3], short[:, :, :3], atol=1e-6)
    assert np.abs(full[:, :, 3:] - short[:, :, 3:]).max() > 1e-3


def test_photos_and_captions_of_a_batch_do_not_influence_each_other(decoder, batch):
    regions, words = batch
    whole = np.array(decoder((regions, words)))
    alone = np.array(decoder((regions[1:], words[1:, 2:])))
    np.testing.assert_allclose(whole[1:, 2:], alone, atol=1e-5)


def test_logits_depend_on_the_photo(decoder, batch):
    regions, words = batch
    other = np.array(decoder((regions[::-1].copy(), words)))
    assert np.abs(np.array(decoder((regions, words))) - other).max() > 1e-2


def test_dropout_acts_in_training_only(batch):
    decoder = make_decoder(dropout=0.5)
    assert np.array_equal(decoder(batch), decoder(batch))
    assert not np.array_equal(decoder(batch, training=True), decoder(batch, training=True))


def test_mixed_precision_gives_float32_logits_near_float32_ones(decoder, options, batch):
    mixed = make_decoder(dtype="mixed_bfloat16", **options)
    logits = mixed(batch)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, decoder(batch), atol=0.3)


def test_saved_weights_load_unchanged(tmp_path, decoder, options, batch):
    decoder.save_weights(tmp_path / "decoder.weights.h5")
    other = AttentionDecoder(9, units=8, attention_units=5, embedding_size=4, **options)
    other.build((None, None, 6))
    other.load_weights(tmp_path / "decoder.weights.h5")
    assert np.array_equal(other(batch), decoder(batch))


@pytest.mark.parametrize(
    "options", [{}, {"grounded": True}, {"value_size": 3}, {"dtype": "mixed_bfloat16"}],
    ids=["", "grounded", "values projected", "half precision"],
)  # fmt: skip
def test_fit_builds_the_decoder_and_a_keras_file_restores_it(tmp_path, options, batch):
    regions, words = batch[0], batch[1][:, :, :4]
    decoder = AttentionDecoder(9, units=8, attention_units=5, embedding_size=4, dropout=0.0, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    decoder.compile(keras.optimizers.Adam(0.03), loss)
    losses = decoder.fit((regions, words[:, :, :-1]), words[:, :, 1:], epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    decoder.standardise(regions.mean((0, 1)), regions.std((0, 1)))
    decoder.save(tmp_path / "decoder.keras")
    loaded = keras.saving.load_model(tmp_path / "decoder.keras")
    assert loaded.get_config() == decoder.get_config()
    assert np.array_equal(loaded(batch), decoder(batch))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_functional_model_can_use_the_decoder_as_a_layer(tmp_path, batch, dtype):
    """The numbers of regions, captions and words may be open."""
    inputs = [keras.Input((None, 6)), keras.Input((None, None), dtype="int32")]
    decoder = AttentionDecoder(9, units=8, attention_units=5, embedding_size=4, dtype=dtype)
    model = keras.Model(inputs, decoder(inputs))
    logits = model(batch)
    assert (model.output_shape, model.output.dtype) == ((None, None, None, 9), logits.dtype)
    np.testing.assert_allclose(logits, decoder(batch), atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(batch), logits)


def test_projected_values_are_narrower_and_need_fewer_weights(batch):
    whole, narrow = make_decoder(), make_decoder(value_size=3)
    assert [decoder.remember(batch[0]).values.shape for decoder in (whole, narrow)] == [(2, 4, 6), (2, 4, 3)]
    assert narrow.cell.kernel.shape[0] == whole.cell.kernel.shape[0] - 3


def test_a_grounded_decoder_depends_on_regions_through_attention_only(batch):
    regions, _ = batch
    for grounded in (False, True):
        decoder = make_decoder(grounded=grounded)
        state = decoder.initial_state(decoder.remember(regions), 1)
        assert np.allclose(state.hidden[0], state.hidden[1]) is grounded


def test_a_grounded_decoder_mostly_trains_without_the_previous_word(batch):
    decoder = make_decoder(grounded=True, dropout=0.0)
    words = np.full((2, 100, 1), 5)
    logits = np.array(decoder((batch[0], words), training=True))[0, :, 0].round(3)
    # The previous word is kept or dropped as a whole, so equal captions give one of two results.
    _, counts = np.unique(logits, axis=0, return_counts=True)
    assert len(counts) == 2
    assert 50 < counts.max() < 90


def entropy_loss(decoder, regions, words):
    decoder((regions, words), training=True)
    return float(sum(decoder.losses))


@pytest.mark.parametrize("grounded", [False, True])
def test_the_attention_entropy_is_part_of_the_loss_if_it_has_a_weight(batch, grounded):
    """Zero energies give uniform attention over four regions, with entropy log 4; large energies give almost 0."""
    losses = []
    for scale in (0, 1000):
        decoder = make_decoder(grounded=grounded)
        decoder.attention_entropy = 0.01
        decoder.attention.energy.assign(decoder.attention.energy * scale)
        losses.append(entropy_loss(decoder, *batch))
    assert losses == pytest.approx([0.01 * np.log(4), 0], abs=1e-4)
    decoder(batch)  # in use
    assert not decoder.losses
    assert entropy_loss(make_decoder(grounded=grounded), *batch) == 0


def test_padding_does_not_count_for_the_entropy(batch):
    regions, words = batch
    decoder, padded = make_decoder(grounded=True, dropout=0.0), words.copy()
    decoder.attention_entropy = 0.01
    padded[:, :, 3:] = PAD
    whole, cut, filled = (entropy_loss(decoder, regions, w) for w in (words, words[:, :, :3], padded))
    assert filled == pytest.approx(cut, rel=1e-5) != pytest.approx(whole, rel=1e-3)


def test_sharpened_attention_prefers_the_same_region_more_strongly(decoder, batch):
    regions, words = batch

    def attention():
        memory = decoder.remember(regions)
        return np.array(decoder.step(words[:, :, 0], decoder.initial_state(memory, words.shape[1]), memory)[2])

    before = attention()
    decoder.sharpen_attention(2.0)
    powers = before**2
    np.testing.assert_allclose(attention(), powers / powers.sum(axis=-1, keepdims=True), rtol=1e-4)
