import json

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_decoder
from tests.fresh_process import FreshProcess
from utils.captioner import Captioner
from utils.data.images import load_pixels
from utils.errors import ImageError, InputError
from utils.outputs.plots import attention_figure


@pytest.fixture
def folder(tmp_path, tiny_captioner):
    tiny_captioner.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def paths(save_photo):
    return [save_photo(f"{seed}.png", seed=seed) for seed in range(20)]


def test_a_caption_has_a_sentence_and_an_attention_map_for_each_word(tiny_captioner, paths):
    captions = tiny_captioner.caption(paths[:3])
    assert [caption.path for caption in captions] == paths[:3]
    for caption in captions:
        assert caption.text == caption.text.capitalize()
        assert caption.text.endswith(".")
        assert caption.attention.shape == (len(caption.words), 16, 16)
        np.testing.assert_allclose(caption.attention.sum((1, 2)), 1, atol=1e-5)
        assert caption.log_probability < 0
        assert caption.attention.base is None  # a view would keep the maps of other hypotheses in memory


def test_other_photos_do_not_change_a_caption(tiny_captioner, paths):
    together = tiny_captioner.caption(paths)
    alone = tiny_captioner.caption(paths[17:18])[0]
    assert together[17].words == alone.words
    np.testing.assert_allclose(together[17].attention, alone.attention, atol=1e-5)


def test_a_bad_photo_is_skipped_with_on_error_and_raised_without(tiny_captioner, paths):
    paths[1].write_text("no photo")
    bad = []
    captions = tiny_captioner.caption(paths[:4], on_error=lambda path, error: bad.append(path))
    assert [caption.path for caption in captions] == [paths[0], paths[2], paths[3]]
    assert bad == [paths[1]]
    with pytest.raises(ImageError):
        tiny_captioner.caption(paths[:4])


def test_one_photo_gives_one_caption_and_many_a_list(tiny_captioner, paths):
    path = paths[0]
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    array = np.asarray(image)
    expected = tiny_captioner.caption([path])[0]
    for photo in (path, str(path), image, array):
        caption = tiny_captioner.caption(photo)
        assert caption.text == expected.text
        np.testing.assert_array_equal(caption.attention, expected.attention)
    photos = [path, image, array]
    for many in (photos, tuple(photos), iter(photos), np.stack([array] * 3)):
        assert [caption.text for caption in tiny_captioner.caption(many)] == [expected.text] * 3
    assert tiny_captioner.caption([]) == []


def test_a_caption_of_an_image_in_memory_keeps_the_photo_for_figures(tiny_captioner, paths):
    with Image.open(paths[0]) as image:
        named = tiny_captioner.caption(image)
    array = tiny_captioner.caption(np.zeros((20, 30, 3), "uint8"))
    assert named.path == paths[0]
    assert array.path is None
    assert array.photo.size == (30, 20)
    assert attention_figure(array)


def test_images_in_memory_are_read_upright_and_over_white(tiny_captioner, tmp_path, paths):
    image = Image.open(paths[0])
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(load_pixels(image, 32), load_pixels(tmp_path / "turned.png", 32))


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_several_captions_of_each_photo(tiny_captioner, paths, temperature):
    options = {"num_captions": 3, "temperature": temperature}
    assert len({caption.text for caption in tiny_captioner.caption(paths[0], **options)}) == 3
    assert [len(captions) for captions in tiny_captioner.caption(paths[:2], **options)] == [3, 3]


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 4), "uint8"), r"array of uint8 \(4, 4\): expected uint8 \(height, width, 3\)"),
        (np.zeros((4, 4, 3), "float32"), "array of float32"),
        (np.zeros((0, 4, 3), "uint8"), "array of uint8"),
        (7, "int: no photo; give a path, a PIL image or a uint8 array"),
        ([b"..."], "bytes: no photo"),
    ],
)
def test_an_argument_that_is_no_photo_is_a_one_line_error(tiny_captioner, photo, message):
    with pytest.raises(InputError, match=message):
        tiny_captioner.caption(photo)


def test_a_single_bad_photo_is_reported_and_none_is_returned(tiny_captioner, tmp_path):
    bad = []
    assert tiny_captioner.caption(tmp_path / "none.jpg", on_error=lambda *error: bad.append(error)) is None
    assert [photo for photo, _ in bad] == [tmp_path / "none.jpg"]


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"num_captions": 0}, {"temperature": 0.0}])
def test_numbers_out_of_range_are_refused(tiny_captioner, paths, options):
    with pytest.raises(InputError, match="1 or more"):
        tiny_captioner.caption(paths[0], **options)


def test_the_default_model_loads_from_any_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Captioner.from_folder().dataset == "flickr8k"


def print_captions(folder, paths):
    print(*(caption.text for caption in Captioner.from_folder(folder).caption(paths)), sep="\n")


def test_a_saved_model_writes_the_same_captions_in_another_process(folder, paths):
    here = [caption.text for caption in Captioner.from_folder(folder).caption(paths[:5])]
    status, output, error = FreshProcess(print_captions, folder, paths[:5]).finish()
    assert status == 0, error
    assert output.splitlines() == here


def test_saving_keeps_three_digits_of_the_weights(folder, tiny_captioner):
    loaded = Captioner.from_folder(folder).decoder.get_weights()
    for value, original in zip(loaded, tiny_captioner.decoder.get_weights(), strict=True):
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, original, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2, but this program reads format 1"),
        ({"extra": 1}, "missing or unknown: extra"),
        ({"max_words": None}, "missing or unknown: max_words"),
        ({"decoder": {"units": 3}}, "missing or unknown"),
    ],
)
def test_a_configuration_of_another_version_is_refused(folder, change, message):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    with pytest.raises(InputError, match=message):
        Captioner.from_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "decoder.weights.h5"])
def test_missing_and_damaged_files_are_one_line(folder, name):
    data = (folder / name).read_bytes()
    for content in (data[: len(data) // 3], b""):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError) as raised:
            Captioner.from_folder(folder)
        assert "\n" not in str(raised.value)
    (folder / name).unlink()
    with pytest.raises(InputError, match="missing"):
        Captioner.from_folder(folder)


def test_encoder_weights_other_than_in_training_are_refused(folder, tiny_encoder):
    tiny_encoder.network.save_weights(folder / "encoder.weights.h5")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["encoder"]["seed"] = 7
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="was trained with other weights"):
        Captioner.from_folder(folder)


def test_attention_is_that_of_the_upright_photo(tiny_captioner, tmp_path, paths):
    """A picture stored upright and the same picture stored rotated with an EXIF orientation get equal maps."""
    picture = Image.open(paths[0])
    picture.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright, turned = tiny_captioner.caption([tmp_path / "upright.png", tmp_path / "turned.png"])
    assert upright.words == turned.words
    np.testing.assert_allclose(upright.attention, turned.attention, atol=1e-5)


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_several_captions_are_different_and_each_has_its_own_maps(tiny_captioner, paths, temperature):
    results = list(tiny_captioner.caption_each(paths[:2], num_captions=3, temperature=temperature))
    assert [path for path, _ in results] == paths[:2]
    for _, captions in results:
        assert len({caption.text for caption in captions}) == 3
        for caption in captions:
            np.testing.assert_allclose(caption.attention.sum((1, 2)), np.ones(len(caption.words)), atol=1e-5)
        scores = [caption.score for caption in captions]
        assert scores == sorted(scores, reverse=True)
    if temperature is None:
        alone = tiny_captioner.caption(paths[:2])
        assert all(caption.text in {c.text for c in captions} for caption, (_, captions) in zip(alone, results))
        assert all(captions[0].score >= caption.score - 1e-4 for caption, (_, captions) in zip(alone, results))


def test_sampled_captions_depend_on_the_seed_only(tiny_captioner, paths):
    tiny_captioner._searches.clear()

    def draw(seed):
        return [c.text for c in next(tiny_captioner.caption_each(paths[:1], 3, 5, temperature=2.0, seed=seed))[1]]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert len(tiny_captioner._searches) == 1  # another seed does not compile a search again


def test_errors_of_bad_photos_come_in_the_order_of_the_photos(tiny_captioner, paths):
    for path in (paths[0], paths[16]):
        path.write_text("no photo")
    results = list(tiny_captioner.caption_each(paths))
    assert [path for path, _ in results] == paths
    assert [path for path, result in results if isinstance(result, ImageError)] == [paths[0], paths[16]]


def test_a_model_is_found_beside_the_scripts_from_any_folder(tiny_captioner, tmp_path, monkeypatch):
    root, elsewhere = tmp_path / "program", tmp_path / "elsewhere"
    tiny_captioner.save(root / "models" / "mine")
    elsewhere.mkdir()
    monkeypatch.setattr("utils.model.model_folder._ROOT", root)
    monkeypatch.chdir(elsewhere)
    for name in ("models/mine", "mine"):
        assert Captioner.from_folder(name).max_words == tiny_captioner.max_words
    with pytest.raises(InputError, match=r"^models/nothing: no model in this folder .* models/mine$"):
        Captioner.from_folder("models/nothing")
    (elsewhere / "models" / "mine").mkdir(parents=True)  # the working folder comes first
    with pytest.raises(InputError, match=r"^models/mine: no model in this folder"):
        Captioner.from_folder("models/mine")


def test_weights_beyond_half_precision_survive_and_weights_that_are_not_finite_are_refused(tiny_captioner, tmp_path):
    decoder = make_decoder(len(tiny_captioner.tokenizer), channels=tiny_captioner.encoder.channels)
    captioner = Captioner(tiny_captioner.encoder, tiny_captioner.tokenizer, decoder, 6, "shapes", {})
    decoder.region_mean.assign(decoder.region_mean + 1e6)
    decoder.gate.kernel.assign(decoder.gate.kernel * 1e6)
    captioner.save(tmp_path)
    loaded = Captioner.from_folder(tmp_path).decoder
    np.testing.assert_array_equal(loaded.region_mean, decoder.region_mean)
    np.testing.assert_array_equal(loaded.gate.kernel, decoder.gate.kernel)
    with h5py.File(tmp_path / "decoder.weights.h5", "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        found[0][...] = np.inf
    with pytest.raises(InputError, match="are not finite"):
        Captioner.from_folder(tmp_path)
    decoder.region_mean.assign(decoder.region_mean * np.nan)
    with pytest.raises(InputError, match=r"not written, because weights of .* are not finite"):
        captioner.save(tmp_path / "other")
