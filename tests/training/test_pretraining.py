import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import inference
import pretrain
import train
from utils.data.images import load_pixels
from utils.data.shapes import COLOURS, SHAPES, SIZE, UNSEEN_PAIRS, load_scenes
from utils.errors import InputError
from utils.features.architectures import ARCHITECTURES
from utils.features.encoders import Encoder
from utils.features.quantised_weights import save_compact
from utils.training.pretraining.labelled_scenes import ALL_SHAPES, COLOUR_LABELS, SHAPE_LABELS, draw_labelled
from utils.training.pretraining.normalised import fold, normalised_twin
from utils.training.pretraining.scene_labels import SceneLabels
from utils.training.pretraining.stage import Pretraining


@pytest.fixture(scope="module")
def scenes():
    """Draw a hundred scenes: pixels, shares of shapes, shares of colours, and boxes."""
    generator = np.random.default_rng(0)
    pixels, labels = (np.stack(arrays) for arrays in zip(*(draw_labelled(generator, 112, 7, 7) for _ in range(100))))
    return pixels, *np.split(labels, [SHAPE_LABELS, SHAPE_LABELS + COLOUR_LABELS], axis=-1)


def test_colour_labels_agree_with_the_pixels(scenes):
    pixels, _, colours, _ = scenes
    means = pixels.reshape(100, 7, 16, 7, 16, 3).mean(axis=(2, 4))
    for number, value in enumerate(COLOURS.values(), start=1):
        seen = means[colours[..., number] == 1]
        assert len(seen) > 5
        assert np.abs(seen - value).mean() < 25


def test_box_labels_hold_the_object(scenes):
    _, shapes, colours, boxes = scenes
    np.testing.assert_allclose(shapes.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(colours.sum(-1), 1, atol=1e-5)
    covered = shapes[..., 0] < 1
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    row, column = np.arange(7)[None, :, None], np.arange(7)[None, None, :]
    meets = (left < (column + 1) / 7) & (right > column / 7) & (top < (row + 1) / 7) & (bottom > row / 7)
    assert meets[covered].all()
    assert not boxes[~covered].any()


def test_no_scene_shows_an_unseen_pair_of_the_sample():
    generator = np.random.default_rng(1)
    names = list(COLOURS)
    for _ in range(300):
        _, labels = draw_labelled(generator, 32, 4, 4)
        shapes, colours = labels[..., 1:SHAPE_LABELS], labels[..., SHAPE_LABELS + 1 : -4]
        for colour, shape in UNSEEN_PAIRS:
            both = np.minimum(colours[..., names.index(colour)], shapes[..., ALL_SHAPES.index(shape)])
            alone = (colours > 0).sum(-1) == 1
            assert not both[alone].any()


def test_a_folded_network_computes_the_same_as_its_trained_twin(tiny_encoder):
    encoder = tiny_encoder.copy()
    twin = normalised_twin(encoder.network)
    generator = np.random.default_rng(0)
    inputs = generator.normal(0, 60, (4, 32, 32, 3)).astype("float32")
    for variable in twin.weights:  # as after training; initial values are only 0 and 1
        if variable.ndim == 1:
            variable.assign(generator.uniform(0.5, 2, variable.shape))
    fold(twin, encoder.network)
    expected = np.asarray(twin(inputs, training=False))
    assert expected.std() > 0
    np.testing.assert_allclose(encoder.network(inputs), expected, rtol=1e-4, atol=1e-4 * expected.max())
    assert [type(layer).__name__ for layer in twin.layers].count("BatchNormalization") == 2


@pytest.mark.parametrize("name", ["vgg16", "mobilenet"])
def test_compact_weights_are_near_the_originals_in_a_quarter_of_the_bytes(tmp_path, name):
    layer = {"vgg16": "block3_conv1", "mobilenet": "conv_pw_5_relu"}[name]
    encoder = Encoder(name, "random", 32, layer)
    path = tmp_path / "encoder.h5"
    save_compact(encoder.network, path)
    matrices = [w for w in encoder.network.get_weights() if w.ndim > 1]
    assert path.stat().st_size < 0.3 * sum(w.nbytes for w in encoder.network.get_weights()) + 100_000
    other = Encoder(name, "random", 32, layer, seed=1)
    other.load_trained(path)
    for before, after in zip(matrices, [w for w in other.network.get_weights() if w.ndim > 1]):
        # Half of 1/127 of the largest weight of the channel, or of all weights.
        assert np.abs(before - after).max() <= np.abs(before).max() / 253
    again = Encoder(name, "random", 32, layer, seed=2)
    again.load_trained(path)
    assert again.fingerprint == other.fingerprint != encoder.fingerprint


def test_compact_weights_of_another_network_are_an_error(tmp_path, tiny_encoder):
    save_compact(tiny_encoder.network, tmp_path / "encoder.h5")
    with pytest.raises(InputError, match="not weights of this encoder"):
        Encoder("vgg16", tmp_path / "encoder.h5", image_size=32)


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr("utils.training.pretraining.stage._VALIDATION", 32)


@pytest.mark.slow
def test_an_encoder_learns_to_locate_objects(tiny_encoder, tmp_path):
    """The encoder is the first block of VGG16. It can distinguish background and objects by their colour."""
    encoder = tiny_encoder.copy()
    labels = SceneLabels(32, encoder.rows, encoder.columns)
    rows = []
    Pretraining(encoder, labels, tmp_path, steps=80, batch_size=8, learning_rate=1e-2).fit(10, rows.append)
    assert [row["step"] for row in rows] == [80]
    assert rows[0]["colour_accuracy"] > 0.5  # of ten labels
    with open(tmp_path / "history.csv") as file:
        (row,) = csv.DictReader(file)
    assert float(row["colour_accuracy"]) == rows[0]["colour_accuracy"]
    # The written weights are the trained weights.
    written = tiny_encoder.copy()
    written.load_trained(tmp_path / "encoder.h5")
    pixels = labels.batch(np.random.default_rng(0), 2)[0]
    learnt = encoder.encode(pixels)
    np.testing.assert_allclose(written.encode(pixels), learnt, atol=0.02 * learnt.max())


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_with_the_same_weights(tiny_encoder, tmp_path):
    def make(folder):
        folder.mkdir(exist_ok=True)
        encoder = tiny_encoder.copy()
        labels = SceneLabels(32, encoder.rows, encoder.columns)
        return Pretraining(encoder, labels, folder, steps=4, batch_size=4)

    def kill(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    whole, killed = make(tmp_path / "whole"), make(tmp_path / "killed")
    whole.fit(0.0)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(0.0, kill)
    resumed = make(tmp_path / "killed")
    resumed.resume()
    resumed.fit(0.0)
    assert [row["step"] for row in resumed.state["history"]] == [1, 2, 3, 4]
    for one, other in zip(whole.encoder.network.get_weights(), resumed.encoder.network.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.fixture
def shallow(monkeypatch, tmp_path):
    """Cut VGG16 and VGG19 after the first block, and work in an empty folder."""
    for name in ("vgg16", "vgg19"):
        architecture = replace(ARCHITECTURES[name], layer="block1_pool", general="block1_conv1")
        monkeypatch.setitem(ARCHITECTURES, name, architecture)
    monkeypatch.chdir(tmp_path)


def test_from_drawn_scenes_to_weights_that_train_py_takes(shallow, command, fails):
    flags = ("--image_size", "32", "--steps", "2", "--batch_size", "4", "--report_minutes", "0.01")
    status, output, error = command(pretrain, *flags)
    assert status == 0, error
    assert "step 2" in output
    assert "colour accuracy" in output
    assert sorted(path.name for path in Path("models/my-vgg16").iterdir()) == ["encoder.h5", "history.csv"]
    assert "holds encoder.h5" in fails(pretrain, *flags)
    assert "no interrupted run" in fails(pretrain, *flags, "--resume")
    file = "models/my-vgg16/encoder.h5"
    assert f"train a model with train.py --encoder_weights {file}" in fails(inference, "--model", "models/my-vgg16")
    for size, given in ((32, ()), (64, ("--image_size", "64"))):
        arguments = ["--dataset", "flickr8k", "--encoder_weights", file, *given]
        assert train.choose_recipe(train.parse_arguments(arguments)).image_size == size
    encoder = Encoder("vgg16", file, 32)
    assert encoder.encode(np.zeros((1, 32, 32, 3), "uint8")).shape == (1, 256, 64)


@pytest.mark.slow
def test_the_committed_weights_recognise_shapes_in_unseen_colours(tmp_path):
    """A linear layer on the regions recognises them, although it is not trained on the pairs of the split `unseen`."""
    encoder = Encoder("vgg16", "scenes", SIZE)
    scenes = load_scenes(tmp_path, counts={"train": 120, "unseen": 40})
    pixels = np.stack([load_pixels(scene.path, SIZE) for scene in scenes])
    grid = np.concatenate([encoder.encode(pixels[i : i + 16]) for i in range(0, len(pixels), 16)])
    grid = grid.reshape(len(pixels), encoder.rows, encoder.columns, -1)
    found = {"train": ([], []), "unseen": ([], [])}
    for scene, regions in zip(scenes, grid):
        for thing in scene.objects:
            if scene.split == "train" or (thing.colour, thing.shape) in UNSEEN_PAIRS:
                left, top, right, bottom = thing.box
                row, column = int((top + bottom) / 2 * encoder.rows), int((left + right) / 2 * encoder.columns)
                found[scene.split][0].append(regions[row, column])
                found[scene.split][1].append(SHAPES.index(thing.shape))
    (inputs, shapes), (new_inputs, new_shapes) = (map(np.array, pair) for pair in found.values())
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 0.1 * inputs.std()
    inputs, new_inputs = (inputs - mean) / deviation, (new_inputs - mean) / deviation
    ridge = inputs.T @ inputs + 30 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(ridge, inputs.T @ (np.eye(len(SHAPES))[shapes] - 0.25))
    assert ((new_inputs @ weights).argmax(axis=1) == new_shapes).mean() > 0.9
