"""Test attention on the boxes of photos with known results, and the three formats of box files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.errors import InputError
from utils.evaluation import attention_on_boxes


@dataclass
class Written:
    path: Path
    words: tuple
    attention: np.ndarray


def looking_at(*regions, grid=(2, 2)):
    """Make attention maps, one for each word, in which one region has all attention."""
    maps = np.zeros((len(regions), *grid))
    for word, (row, column) in zip(maps, regions):
        word[row, column] = 1
    return maps


def as_file(tmp_path, content, name="boxes.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (40, 20)).save(path)
    return path


def entity(noun, *boxes, words=()):
    return {"noun": noun, "words": [noun, *words], "boxes": [list(box) for box in boxes]}


LEFT_TOP, RIGHT_TOP = (0, 0, 20, 10), (20, 0, 40, 10)


def score(tmp_path, photo, entities, words, maps):
    boxes = attention_on_boxes.read_boxes(as_file(tmp_path, {photo.name: entities}))
    written = Written(photo, words, maps)
    return attention_on_boxes.score_captions([written], [written], boxes)


def test_known_answers(tmp_path, photo):
    entities = [entity("man", LEFT_TOP), entity("dog", LEFT_TOP), entity("ball", RIGHT_TOP)]
    maps = looking_at((1, 1), (0, 0), (1, 0), (0, 1))
    maps[3] = 0.25
    found = score(tmp_path, photo, entities, ("a", "man", "dog", "ball"), maps)
    # "man" attends to its box, "dog" does not, and "ball" attends to all regions, of which the first is not in its box.
    assert {kind: (v["words"], v["pointing"], v["gain"]) for kind, v in found.items()} == {
        "all": (3, pytest.approx(1 / 3), pytest.approx(5 / 3)),
        "people": (1, 1, 4),
        "animals": (1, 0, 0),
        "things": (1, 0, 1),
    }
    assert found["all"]["uniform_pointing"] == 0.25
    # The photo's centre is the corner of each box; the four regions around it have a quarter of the attention each.
    assert found["all"]["centre_pointing"] == 1
    assert found["all"]["centre_gain"] == 1


def test_a_word_counts_once_and_for_the_boxes_of_all_entities_that_it_names(tmp_path, photo):
    entities = [entity("man", LEFT_TOP, words=["people"]), entity("woman", RIGHT_TOP, words=["people"])]
    found = score(tmp_path, photo, entities, ("people", "people"), looking_at((0, 1), (1, 0)))
    assert (found["all"]["words"], found["all"]["pointing"], found["all"]["gain"]) == (1, 1, 2)


def test_overlapping_boxes_count_once_and_larger_ones_than_half_of_the_photo_not_at_all(tmp_path, photo):
    entities = [entity("dog", LEFT_TOP, (0, 0, 10, 10)), entity("snow", (0, 0, 40, 11))]
    found = score(tmp_path, photo, entities, ("dog", "snow"), looking_at((0, 0), (0, 0)))
    assert (found["all"]["words"], found["all"]["gain"]) == (1, 4)
    assert "things" not in found


def test_a_box_within_a_region_is_hit_only_if_it_holds_the_regions_centre(tmp_path, photo):
    for box, hit in (((0, 0, 4, 4), 0), ((8, 4, 12, 6), 1)):
        found = score(tmp_path, photo, [entity("ball", box)], ("ball",), looking_at((0, 0)))
        assert found["all"]["pointing"] == hit
        # The attention of a region counts as evenly spread over its area.
        assert found["all"]["gain"] == pytest.approx(4, rel=0.02)


def test_boxes_of_a_photo_that_lies_on_its_side_are_of_the_upright_one(tmp_path):
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 40)).save(path, exif=exif)
    found = score(tmp_path, path, [entity("dog", LEFT_TOP)], ("dog",), looking_at((0, 0)))
    assert found["all"]["gain"] == 4


def test_intervals_come_from_resampled_photos(tmp_path, photo):
    boxes = attention_on_boxes.read_boxes(as_file(tmp_path, {photo.name: [entity("dog", LEFT_TOP)]}))
    captions = [Written(photo, ("dog",), looking_at(where)) for where in [(0, 0), (1, 1)] * 50]
    low, high = attention_on_boxes.score_captions(captions, captions, boxes)["all"]["pointing_interval"]
    # The interval of the binomial distribution for 100 draws.
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.02)


def test_cocos_instances_are_found_by_number_and_by_file_and_have_common_words(tmp_path):
    content = {
        "images": [{"id": 42, "file_name": "COCO_val2014_000000000042.jpg", "width": 40, "height": 20}],
        "categories": [{"id": 1, "name": "person"}, {"id": 37, "name": "sports ball"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"image_id": 42, "category_id": 1, "bbox": [0, 0, 20, 10]},
            {"image_id": 42, "category_id": 37, "bbox": [20, 10, 20, 10]},
            {"image_id": 42, "category_id": 18, "bbox": [0, 0, 0, 10]},
        ],
    }
    boxes = attention_on_boxes.read_boxes(as_file(tmp_path, content))
    for name, photo_id in (("COCO_val2014_000000000042.jpg", "other"), ("000000000042.jpg", "42")):
        written = Written(Path(name), ("woman", "with", "a", "ball"), looking_at((0, 0), (0, 0), (0, 0), (1, 1)))
        written.id = photo_id
        found = attention_on_boxes.score_captions([written], [written], boxes)
        assert (found["all"]["words"], found["all"]["pointing"], found["all"]["gain"]) == (2, 1, 4)
        assert found["people"]["words"] == found["things"]["words"] == 1


def test_flickr30k_entities_are_boxes_by_number_and_phrases_by_sentence(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Sentences").mkdir()
    (tmp_path / "Annotations" / "7.xml").write_text(
        "<annotation><size><width>40</width><height>20</height></size>"
        "<object><name>1</name><name>2</name>"
        "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>"
        "<object><name>3</name><scene>1</scene></object></annotation>"
    )
    (tmp_path / "Sentences" / "7.txt").write_text(
        "[/EN#1/people Two young guys] with [/EN#2/bodyparts shaggy hair] in [/EN#3/scene the yard] .\n"
        "[/EN#1/people Friends] .\n"
    )
    own = attention_on_boxes.read_boxes(tmp_path)["7.jpg"]
    assert own.size == (40, 20)
    assert [(set(each.words), each.kind) for each in own.entities] == [
        ({"guys", "friends"}, "people"),
        ({"hair"}, "things"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no boxes"),
        ([1], "neither boxes by photo"),
        ({"a.jpg": [{"noun": "dog"}]}, "KeyError: 'words'"),
        ({"a.jpg": [entity("dog", (5, 0, 5, 9))]}, "left < right"),
        ({"annotations": []}, "KeyError: 'categories'"),
    ],
)
def test_files_that_hold_no_boxes_are_one_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        attention_on_boxes.read_boxes(as_file(tmp_path, content))
    with pytest.raises(InputError, match="no such file"):
        attention_on_boxes.read_boxes(tmp_path / "nothing.json")


def test_captions_without_boxes_are_an_error(tmp_path, photo):
    with pytest.raises(InputError, match="no photo of this split is in the file"):
        score(tmp_path, photo, [entity("dog", LEFT_TOP)], ("a", "cat"), looking_at((0, 0), (0, 0)))
