import json

import keras
import numpy as np
import pytest

from utils.errors import InputError
from utils.features import encoder_weights
from utils.features.architectures import ARCHITECTURES
from utils.features.encoders import Encoder
from utils.features.quantised_weights import is_compact, save_compact


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), "uint8")


def test_vgg16_equals_keras_applications_on_the_same_weights(photos):
    encoder = Encoder("vgg16", "random", image_size=64, precision="float32")
    reference = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    reference.set_weights(encoder.network.get_weights())
    layer = keras.Model(reference.input, reference.get_layer("block5_conv3").output)
    # Caffe's preprocessing, written out: BGR minus ImageNet's mean pixel.
    inputs = photos[..., ::-1].astype("float32") - np.array([103.939, 116.779, 123.68], "float32")
    expected = layer.predict(inputs, verbose=0).reshape(2, -1, 512)
    regions = encoder.encode(photos)
    assert (encoder.rows, encoder.columns, encoder.channels) == (4, 4, 512)
    np.testing.assert_allclose(regions, expected, atol=1e-4 * expected.max())


def test_regions_are_ordered_row_by_row_from_the_top_left():
    encoder = Encoder("vgg16", "random", image_size=32, layer="block1_pool", precision="float32")
    blank = np.zeros((1, 32, 32, 3), "uint8")
    marked = blank.copy()
    marked[0, 0:2, 30:32] = 255
    changed = np.abs(encoder.encode(marked) - encoder.encode(blank)).sum(-1)[0]
    assert changed.argmax() == 15
    assert changed[16 * 8 :].sum() == 0


def test_mirror_averages_the_regions_of_the_photo_and_of_its_mirror_image(tiny_encoder):
    pixels = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), "uint8")
    both = tiny_encoder.copy(mirror=True)
    grid = (3, tiny_encoder.rows, tiny_encoder.columns, tiny_encoder.channels)
    turned_back = tiny_encoder.encode(pixels[:, :, ::-1]).reshape(grid)[:, :, ::-1]
    expected = (tiny_encoder.encode(pixels).reshape(grid) + turned_back) / 2
    np.testing.assert_allclose(both.encode(pixels).reshape(grid), expected, rtol=1e-5, atol=1e-5)
    assert both.fingerprint != tiny_encoder.fingerprint
    assert both.operations == 2 * tiny_encoder.operations


def test_weights_load_from_a_file_in_keras_layout(tmp_path, photos):
    source = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    _save_in_legacy_layout(source, path)
    encoder = Encoder("vgg16", path, image_size=64, layer="block3_pool", precision="float32")
    layer = keras.Model(source.input, source.get_layer("block3_pool").output)
    inputs = keras.applications.vgg16.preprocess_input(photos.astype("float32"))
    expected = layer.predict(inputs, verbose=0).reshape(2, 64, 256)
    np.testing.assert_allclose(encoder.encode(photos), expected, atol=1e-4 * expected.max())


def _save_in_legacy_layout(model, path):
    """Save a model's weights in the form of Keras's published `…_notop.h5`: a group per layer, names as attributes."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_W_1:0".encode(), f"{layer.name}_b_1:0".encode()] if layer.weights else []
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights()):
                group.create_dataset(name.decode(), data=value)


def test_imagenet_mobilenet_equals_keras_applications(shared, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(shared / "keras_home"))
    from utils.data.images import load_pixels
    from utils.data.photo_files import sample_photo

    encoder = Encoder("mobilenet")
    regions = encoder.encode(load_pixels(sample_photo(), 224)[None])
    assert regions.shape == (1, 49, 768)
    file = shared / "keras_home" / "models" / "mobilenet_7_5_224_tf_no_top.h5"
    reference = keras.applications.MobileNet(alpha=0.75, include_top=False, weights=file, input_shape=(224, 224, 3))
    pixels = load_pixels(sample_photo(), 224)[None].astype("float32") / 127.5 - 1
    np.testing.assert_allclose(regions[0], reference.predict(pixels, verbose=0).reshape(49, 768), atol=1e-3)


def test_random_weights_depend_only_on_the_seed():
    make = lambda seed: Encoder("vgg16", "random", image_size=32, layer="block1_pool", seed=seed).fingerprint  # noqa: E731
    assert make(1) == make(1)
    assert make(1) != make(2)


def test_the_fingerprint_depends_on_layer_size_and_weights_but_not_on_precision():
    base = {"image_size": 32, "layer": "block1_pool", "precision": "float32"}
    prints = [
        Encoder("vgg16", "random", **base | change).fingerprint
        for change in ({}, {"precision": "bfloat16"}, {"layer": "block1_conv2"}, {"image_size": 48})
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_random_weights_keep_the_size_of_signals(photos):
    regions = Encoder("vgg16", "random", image_size=64, precision="float32").encode(photos)
    assert 1 < regions.std() < 1000


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_rectified_regions(name, photos):
    encoder = Encoder(name, "random", image_size=64)
    regions = encoder.encode(photos)
    assert regions.shape == (2, encoder.rows * encoder.columns, encoder.channels)
    assert regions.min() >= 0
    assert regions.max() > 0


def test_vgg16_needs_30_gigaflop_per_photo():
    assert Encoder("vgg16", "random", layer="block5_conv3").operations == pytest.approx(30.7e9, rel=0.01)


def test_missing_and_wrong_weights_are_errors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Encoder("vgg16", tmp_path / "nowhere.h5")
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF but cut")
    with pytest.raises(InputError, match="not weights of this encoder"):
        Encoder("vgg16", tmp_path / "broken.h5")
    with pytest.raises(InputError, match="unknown encoder"):
        Encoder("vgg17")
    with pytest.raises(InputError, match="no layer"):
        Encoder("vgg16", "random", image_size=32, layer="block9")


def test_without_network_the_error_names_file_and_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("utils.features.encoder_weights._DOWNLOAD_TIMEOUT", 2)
    monkeypatch.setattr(keras.utils, "get_file", _refuse)
    with pytest.raises(InputError) as raised:
        Encoder("vgg16")
    line = str(raised.value)
    name = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    for part in (f"keras-applications/vgg16/{name}", str(tmp_path / "models"), "--encoder_weights PATH"):
        assert part in line
    assert "\n" not in line


def _refuse(*_, **__):
    raise OSError("no network")


def _save_model(folder, name):
    """Write the files of a model folder that belong to the encoder, with 8-bit weights. Returns the Encoder."""
    encoder = Encoder(name, "random", image_size=32)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"encoder": {"name": name}}))
    save_compact(encoder.network, folder / "encoder.weights.h5")
    return encoder


def test_without_network_the_vgg16_of_a_model_folder_comes_first_and_is_accepted(tmp_path, monkeypatch, photos):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", _refuse)
    monkeypatch.setattr(encoder_weights, "_MODELS", tmp_path / "models")
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "config.json").write_text("[")
    _save_model(tmp_path / "models" / "a", "mobilenet")
    saved = _save_model(tmp_path / "models" / "b", "vgg16")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"\(no network\): use --encoder_weights models/b/encoder.weights.h5, "):
        Encoder("vgg16")
    with pytest.raises(InputError, match=r"use --encoder vgg16 --encoder_weights models/b/encoder.weights.h5, "):
        Encoder("resnet50")
    encoder = Encoder("vgg16", "models/b/encoder.weights.h5", image_size=64, precision="float32")
    expected = saved.network.get_weights()
    for value, weights in zip(encoder.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, weights, atol=np.abs(weights).max() / 254 * 1.001)


def test_the_encoder_files_of_the_models_in_the_repository_are_accepted():
    files = [path for path in encoder_weights._MODELS.glob("*/encoder.weights.h5") if is_compact(path)]
    assert files
    for file in files:
        settings = json.loads(file.with_name("config.json").read_text())["encoder"]
        encoder = Encoder(settings["name"], file, settings["image_size"], settings["layer"], mirror=settings["mirror"])
        assert encoder.fingerprint == settings["fingerprint"]


def test_a_weights_file_with_other_content_is_an_error_and_not_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", _refuse)
    half = tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    half.parent.mkdir()
    half.write_bytes(b"the first half")
    with pytest.raises(InputError, match="are not the published file"):
        Encoder("vgg16")
    assert half.read_bytes() == b"the first half"


def test_an_incomplete_weights_file_is_replaced(shared, tmp_path, monkeypatch):
    name = "mobilenet_7_5_224_tf_no_top.h5"
    whole = (shared / "keras_home" / "models" / name).read_bytes()
    half = tmp_path / "models" / name
    half.parent.mkdir()
    half.write_bytes(whole[: len(whole) // 2])

    def fetch(name, origin, cache_dir, cache_subdir, file_hash):
        target = cache_dir / "fetched"
        target.write_bytes(whole)
        return str(target)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", fetch)
    Encoder("mobilenet")
    assert half.read_bytes() == whole
