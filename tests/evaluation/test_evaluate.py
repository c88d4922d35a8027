"""Test the statistics of captions, and captions from files, also with unusual inputs."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from utils.data import shapes
from utils.errors import InputError
from utils.evaluation import attention_quality, baselines, bootstrap, clipscore, coco_results, diversity, metrics

REFERENCES = {f"{n}.jpg": [f"a dog number {n} runs", f"the dog {n} plays in snow"] for n in range(30)}


def scores_of(captions):
    return metrics.score(REFERENCES, captions, ["Bleu", "ROUGE_L", "CIDEr"])


@pytest.fixture
def good():
    return scores_of({i: texts[0] for i, texts in REFERENCES.items()})


@pytest.fixture
def bad():
    return scores_of(dict.fromkeys(REFERENCES, "a cat sleeps"))


def test_intervals_hold_the_score_and_are_repeatable(bad):
    first, again = bootstrap.intervals(bad), bootstrap.intervals(bad)
    assert first == again
    for name, (low, high) in first.items():
        assert low <= bad.corpus[name] + 1e-9
        assert bad.corpus[name] <= high + 1e-9


def test_resamples_are_not_in_memory_at_once(bad, monkeypatch):
    """For a large dataset, all resamples together would take gigabytes."""
    sizes, original = [], metrics.Scores.weighted
    monkeypatch.setattr(metrics.Scores, "weighted", lambda self, w: sizes.append(len(w)) or original(self, w))
    bootstrap.intervals(bad)
    assert sum(sizes) == 1000
    assert max(sizes) <= 100


def test_a_clear_difference_is_significant_and_none_is_not(good, bad):
    clear = bootstrap.compare(bad, good)["CIDEr"]
    assert clear.value == pytest.approx(good.corpus["CIDEr"] - bad.corpus["CIDEr"])
    assert clear.low > 0
    assert clear.p < 0.01
    none = bootstrap.compare(good, good)["Bleu_4"]
    assert (none.value, none.low, none.high, none.p) == (0, 0, 0, 1)


def test_the_paired_test_sees_what_separate_intervals_do_not():
    generator = np.random.default_rng(0)
    captions = {i: texts[0] if generator.random() < 0.5 else "a cat sleeps" for i, texts in REFERENCES.items()}
    better = {i: "a dog" if text == "a cat sleeps" else text for i, text in captions.items()}
    first, second = scores_of(captions), scores_of(better)
    assert bootstrap.intervals(first)["ROUGE_L"][1] > bootstrap.intervals(second)["ROUGE_L"][0]
    assert bootstrap.compare(first, second)["ROUGE_L"].p < 0.05


def test_statistics_of_captions():
    found = diversity.describe(["A dog runs.", "a dog runs", "a cat sleeps on a sofa"], ["a dog runs"])
    assert found["words"] == 4
    assert found["vocabulary"] == 7
    assert found["distinct_captions"] == 2
    assert found["most_frequent"] == pytest.approx(2 / 3)
    assert found["new"] == pytest.approx(1 / 3)
    assert found["distinct_1"] == pytest.approx(7 / 12)
    assert diversity.describe(["", ""])["vocabulary"] == 0


def test_self_bleu_is_bleu_against_all_others():
    sentences = ["a dog runs in the snow", "a dog runs on the grass", "two dogs run in the snow", "a a a cat"]
    others = {n: sentences[:n] + sentences[n + 1 :] for n in range(4)}
    expected = metrics.evaluate(others, dict(enumerate(sentences)), ["Bleu"])["Bleu_4"]
    assert diversity.self_bleu([tuple(s.split()) for s in sentences]) == pytest.approx(expected)
    assert diversity.self_bleu([("a",) * 5] * 3) == pytest.approx(1, abs=1e-6)


def test_people_are_scored_against_each_other():
    human = baselines.human_scores(
        {"a": ["a dog runs", "a dog runs"], "b": ["a cat", "a cat"], "c": ["alone"]}, ["Bleu"]
    )
    assert human["Bleu_1"] == pytest.approx(1, abs=1e-6)
    assert baselines.human_scores({"c": ["alone"]}) == {}


@dataclass
class Row:
    id: str
    references: tuple


class MeanRegions(dict):
    """Replace a RegionCache. It only has the mean of each photo's region vectors."""

    def means(self, image_ids):
        return np.array([self[image_id] for image_id in image_ids])


def test_a_neighbours_most_typical_caption_is_chosen():
    cache = MeanRegions(x=(1.0, 0.1), near=(2.0, 0.0), far=(0.0, 3.0))
    training = [Row("far", ("a cat",) * 3)] * 10 + [Row("near", ("a dog runs", "a dog", "dog runs fast today"))] * 10
    assert baselines.nearest_neighbour_captions(cache, [Row("x", ())], training) == {"x": "a dog runs"}


@dataclass
class Written:
    words: tuple
    attention: np.ndarray


def test_spread_of_attention():
    uniform = Written(("a", "dog"), np.full((2, 2, 2), 0.25))
    sharp = Written(("a", "dog"), np.eye(4)[:2].reshape(2, 2, 2))
    assert attention_quality.spread([uniform]) == pytest.approx({"entropy": 1, "coverage": 0, "peak": 1})
    assert attention_quality.spread([sharp]) == pytest.approx({"entropy": 0, "coverage": 0.5, "peak": 4}, abs=1e-6)
    assert attention_quality.spread([Written((), np.zeros((0, 2, 2)))]) == {}


def test_attention_in_the_box_by_word_kind():
    scene = shapes.Scene("s", None, "val", (), (shapes.Object("red", "circle", (0, 0, 0.5, 0.5)),))
    looks = np.zeros((3, 2, 2))
    looks[0, 1, 1] = looks[1, 0, 0] = 1
    looks[2] = 0.25
    found = attention_quality.by_word_kind([scene], [Written(("a", "red", "circle"), looks)])
    assert found["other"] == {"words": 1, "mass": 0, "gain": 0, "pointing": 0}
    assert found["colour"] == {"words": 1, "mass": 1, "gain": 4, "pointing": 1}
    assert found["shape"]["gain"] == 1


def test_clipscore_is_the_papers_formula():
    vectors = {
        "photo": [2, 0],
        "A photo depicts a": [0.6, 0.8],
        "A photo depicts b": [0, 3],
        "A photo depicts -": [-1, 0],
    }

    def encode(texts):
        return np.array([vectors[text] for text in texts], float)

    score, with_references = clipscore.clip_scores(["photo"], ["a"], [["b", "-"]], (encode, encode))
    assert score == pytest.approx(2.5 * 0.6)
    assert with_references == pytest.approx(2 * 1.5 * 0.8 / (1.5 + 0.8))
    assert clipscore.clip_scores(["photo"], ["-"], [["b"]], (encode, encode)) == (0, 0)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_captions_from_a_file(tmp_path):
    rows = [{"image_id": 7, "caption": "a 🐕 läuft"}, {"image_id": "b.jpg", "caption": ""}]
    assert coco_results.read_results(write(tmp_path / "a.json", rows)) == {"7": "a 🐕 läuft", "b.jpg": ""}
    assert coco_results.read_results(write(tmp_path / "b.json", [*rows, rows[0]])) == {"7": "a 🐕 läuft", "b.jpg": ""}
    assert coco_results.read_results(write(tmp_path / "c.json", {"7": "a dog"})) == {"7": "a dog"}


@pytest.mark.parametrize(
    "content",
    [
        {"info": {}, "images": [], "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}]},
        [{"id": 7, "caption": "a dog"}],
        {"7": ["a dog"]},
        {"data": [{"img_id": 7, "caption": "a dog"}]},
        '{"image_id": 7, "caption": "a dog"}\n\n{"image_id": 7, "caption": "a dog"}\n',
        '{"photo": "7", "captions": [{"text": "a dog", "log_probability": -2.5}, {"text": "a cat"}]}\n',
        '\ufeff[{"image_id": 7, "caption": "a dog"}]',
    ],
)
def test_captions_in_other_forms_than_cocos(tmp_path, content):
    assert coco_results.read_results(write(tmp_path / "a.json", content)) == {"7": "a dog"}


@pytest.mark.parametrize(
    "given",
    [
        "397133", "397133.0", "000000397133", "000000397133.jpg", "COCO_val2014_000000397133",
        "D:\\x\\000000397133.JPG", "https://example.org/val2017/000000397133.jpg?width=640", "000000397133.jpg#0",
    ],
)  # fmt: skip
def test_an_image_of_coco_is_known_by_every_form_of_its_number(given):
    assert coco_results.match({given: "a dog"}, {"397133": ["x"], "39713": ["x"]})["397133"] == "a dog"


def test_an_id_that_could_mean_several_images_is_not_scored():
    references, said = {"1.jpg": ["x"], "01.jpg": ["x"], "a/b.png": ["x"]}, []
    captions = {"1.jpg": "one", "001": "which?", "B": "b"}
    assert coco_results.match(captions, references, said.append) == {"1.jpg": "one", "01.jpg": "", "a/b.png": "b"}
    assert said[1].endswith("are of other images, or of several, and are not scored, such as 001")
    with pytest.raises(InputError, match=r"a second, different caption for image 1\.jpg"):
        coco_results.match({"1.jpg": "one", "x/1.jpg": "two"}, references)


def test_captions_written_are_read_again(tmp_path):
    captions = {"391895": "a man", "b.jpg": "a dog"}
    rows = coco_results.as_results(captions)
    assert [row["image_id"] for row in rows] == [391895, "b.jpg"]
    assert coco_results.read_results(write(tmp_path / "a.json", rows)) == captions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "not JSON"),
        ([], "holds no captions"),
        ("7", "holds no captions"),
        ([{"image_id": 1}], "entry 1: expected"),
        ([{"image_id": 1, "caption": 5}], "entry 1: expected"),
        (
            [{"image_id": 1, "caption": None}],
            r'entry 1: expected \[{"image_id": 397133, "caption": .* found {"image_id": 1',
        ),
        ([{"image_id": None, "caption": "a"}], "entry 1: expected"),
        ({"1": ["a", "b"]}, "entry 1: a second, different caption"),
        ('{"image_id": 1, "caption": "a"}\n{"image_id": \n', r"not JSON \(line 2: "),
        ([{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "b"}], "entry 2: a second, different caption"),
    ],
)
def test_files_without_captions_are_an_error(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        coco_results.read_results(write(tmp_path / "x.json", content))


def test_missing_unknown_and_empty_captions_are_reported():
    said = []
    references = {"a.jpg": ["x"], "b.jpg": ["x"], "c.jpg": ["x"]}
    matched = coco_results.match({"a": "one", "b.jpg": " ", "other": "two"}, references, said.append)
    assert matched == {"a.jpg": "one", "b.jpg": " ", "c.jpg": ""}
    assert said == [
        "1 of 3 images have no caption: each counts as an empty one, which scores 0",
        "1 of 3 captions are of other images, or of several, and are not scored, such as other",
        "1 captions are empty and score 0",
    ]
    with pytest.raises(InputError, match="none of the 1 captions belongs"):
        coco_results.match({"z": "one"}, references)
