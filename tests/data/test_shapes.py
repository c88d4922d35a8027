from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from utils.data import shapes
from utils.data.shapes import COLOURS, UNSEEN_PAIRS, Object, box_coverage, find_mentions, load_scenes, score_captions

COUNTS = {"train": 60, "val": 5, "test": 5, "unseen": 20}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return load_scenes(tmp_path_factory.mktemp("shapes"), seed=3, counts=COUNTS)


def test_captions_name_what_is_in_the_scene(scenes):
    for scene in scenes:
        there = {(o.colour, o.shape) for o in scene.objects}
        for reference in scene.references:
            assert {mention[:2] for mention in find_mentions(reference.split())} == there


def test_boxes_contain_their_colour(scenes):
    for scene in scenes:
        pixels = np.asarray(Image.open(scene.path)).astype(int)
        for thing in scene.objects:
            x, y = (thing.box[0] + thing.box[2]) / 2, (thing.box[1] + thing.box[3]) / 2
            centre = pixels[int(y * shapes.SIZE), int(x * shapes.SIZE)]
            nearest = min(COLOURS, key=lambda name: np.abs(centre - COLOURS[name]).sum())
            assert nearest == thing.colour


def test_unseen_pairs_are_in_their_own_split_only(scenes):
    for scene in scenes:
        unseen = any((o.colour, o.shape) in UNSEEN_PAIRS for o in scene.objects)
        assert unseen == (scene.split == "unseen")


def test_the_same_seed_gives_the_same_scenes(tmp_path, scenes):
    again = load_scenes(tmp_path, seed=3, counts=COUNTS)
    assert [s.references for s in again] == [s.references for s in scenes]
    assert again[0].path.read_bytes() == scenes[0].path.read_bytes()
    other = load_scenes(tmp_path, seed=4, counts=COUNTS)
    assert [s.objects for s in other] != [s.objects for s in scenes]


def test_coverage_of_a_grid_by_a_box():
    expected = [[0, 0, 0], [0.5, 0.5, 0], [1, 1, 0]]
    np.testing.assert_allclose(box_coverage((0, 0.5, 2 / 3, 1), 3, 3), expected, atol=1e-9)


def test_scores_of_captions_by_hand():
    scene = SimpleNamespace(
        objects=[Object("red", "circle", (0, 0, 0.5, 0.5)), Object("blue", "star", (0.5, 0, 1, 0.5))]
    )
    attention = np.full((7, 2, 2), 0.25)
    attention[2] = [[0.7, 0.1], [0.1, 0.1]]  # while "circle" is written
    words = ["a", "red", "circle", "and", "a", "green", "star"]
    scores = score_captions([scene], [SimpleNamespace(words=words, attention=attention)])
    assert scores["mentions"] == 2
    assert scores["right"] == scores["recall"] == 0.5
    assert scores["attention_gain"] == pytest.approx(0.7 / 0.25)
    assert scores["pointing"] == 1
