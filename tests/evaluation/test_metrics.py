import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from utils.errors import InputError
from utils.evaluation.metrics import available, evaluate, score

ROOT = Path(__file__).resolve().parents[2]

JAVA = pytest.mark.skipif(not shutil.which("java"), reason="needs java")


def karpathy_words(text):
    """Split a caption into words by the rule of Karpathy's files."""
    text = text.lower().replace("&", " amp ").replace("(", " lrb ").replace(")", " rrb ")
    return " ".join(word for word in re.split("[^a-z0-9]+", text) if word)


@pytest.fixture(scope="module")
def published(shared):
    """Read the references of each image, and the captions and the published scores of each file."""
    folder = shared / "metric_cases" / "where_image2"
    images = (folder / "images.txt").read_text().split()
    references = {image: [] for image in images}
    for line in (shared / "flickr8k" / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, text = line.split("\t")
        if name.split("#")[0] in references:
            references[name.split("#")[0]].append(text)
    scores = json.loads((folder / "published_scores.json").read_text())
    captions = {
        name: dict(zip(images, (folder / f"{name}.txt").read_text().splitlines(), strict=True)) for name in scores
    }
    return references, captions, scores


@pytest.mark.slow
def test_the_scores_that_where_image2_published(published):
    references, captions, scores = published
    assert len(scores) == 13
    references = {image: [karpathy_words(text) for text in texts] for image, texts in references.items()}
    for name, expected in scores.items():
        ours = evaluate(references, captions[name], ["Bleu", "ROUGE_L", "CIDEr"])
        assert [ours[f"Bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(
            [expected[f"Bleu_{n}"] for n in (1, 2, 3, 4)], abs=1e-9
        )
        assert ours["ROUGE_L"] == pytest.approx(expected["ROUGE_L"], abs=3e-5)
        assert ours["CIDEr"] == pytest.approx(expected["CIDEr"], abs=5e-5)


@JAVA
@pytest.mark.slow
def test_the_meteor_that_where_image2_published(published):
    references, captions, scores = published
    references = {image: [karpathy_words(text) for text in texts] for image, texts in references.items()}
    # Only one file is tested: the others agree too, but Java takes ten seconds for each.
    ours = evaluate(references, captions["flickr8k_merge_1"], ["METEOR"])
    assert ours["METEOR"] == pytest.approx(scores["flickr8k_merge_1"]["METEOR"], abs=1e-4)


def test_raw_references_score_a_little_otherwise(published):
    references, captions, scores = published
    ours = evaluate(references, captions["flickr8k_merge_1"], ["Bleu", "CIDEr"])
    # With raw captions, CIDEr is 0.00048 and BLEU-4 0.00002 lower than published.
    assert 1e-4 < abs(ours["CIDEr"] - scores["flickr8k_merge_1"]["CIDEr"]) < 1e-3
    assert abs(ours["Bleu_4"] - scores["flickr8k_merge_1"]["Bleu_4"]) < 1e-3


@JAVA
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("good", [0.6667, 0.4899, 0.3469, 0.0000, 0.3444, 0.4280, 0.5637]),
        ("bad", [0.4815, 0.2404, 0.1359, 0.0000, 0.1861, 0.3121, 0.2790]),
    ],
)
def test_the_scores_that_clipscore_publishes(shared, name, expected):
    folder = shared / "metric_cases" / "clipscore"
    references = json.loads((folder / "refs.json").read_text())
    scores = evaluate(references, json.loads((folder / f"{name}_captions.json").read_text()))
    names = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
    assert [round(scores[n], 4) for n in names] == expected


def test_the_scores_that_nlg_eval_publishes():
    scores = evaluate(
        {"1": ["this is a test", "this is also a test"]}, {"1": "this is a good test"}, ["Bleu", "ROUGE_L"]
    )
    assert [scores[f"Bleu_{n}"] for n in (1, 2, 3)] == pytest.approx([0.799999, 0.632455, 0.510873], abs=1e-6)
    assert scores["Bleu_4"] == pytest.approx(9.04e-5, rel=1e-2)
    assert scores["ROUGE_L"] == pytest.approx(0.907063, abs=1e-6)


def test_case_and_punctuation_do_not_count():
    references = {"1": ["A dog runs ."], "2": ["Two cats sleep on a sofa"]}
    scores = [
        evaluate(references, {"1": one, "2": "two cats"}, ["Bleu", "CIDEr"]) for one in ("A DOG, runs!", "a dog runs")
    ]
    assert scores[0] == scores[1]


def test_a_perfect_caption_scores_highest():
    references = {
        str(i): [text] for i, text in enumerate(["a dog runs in snow", "two cats sleep on a sofa", "a boy jumps high"])
    }
    scores = evaluate(references, {i: texts[0] for i, texts in references.items()}, ["Bleu", "ROUGE_L", "CIDEr"])
    assert scores["Bleu_4"] == pytest.approx(1, abs=1e-6)
    assert scores["ROUGE_L"] == pytest.approx(1)
    assert scores["CIDEr"] == pytest.approx(10)


def test_images_must_match():
    with pytest.raises(InputError, match="1 images without caption, 0 unknown"):
        evaluate({"1": ["a"], "2": ["b"]}, {"1": "a"})
    with pytest.raises(InputError, match="no captions"):
        evaluate({}, {})
    with pytest.raises(InputError, match="1 images have no references, such as 2"):
        evaluate({"1": ["a"], "2": []}, {"1": "a", "2": "b"})


ODD = {
    "empty": ("", ["a dog runs"]),
    "points": ("...", ["a dog"]),
    "nothing against nothing": ("", ["."]),
    "German": ("Ein Hündchen läuft über die Straße.", ["ein Hündchen läuft", "Ein Hund"]),
    "Japanese": ("犬 が 走る", ["犬 が 走る"]),
    "emoji": ("a 🐕 runs ❤", ["a 🐕 runs ❤", "🐕"]),
    "bars": ("a ||| b", ["a ||| b ||| c"]),
    "lines": ("a\ndog", ["a dog\r\nruns"]),
}


@JAVA
def test_odd_captions_are_scored_and_empty_ones_score_0():
    scores = score({i: texts for i, (_, texts) in ODD.items()}, {i: text for i, (text, _) in ODD.items()})
    assert scores.ids == tuple(ODD)
    for name, values in scores.images.items():
        assert np.isfinite(values).all()
        assert np.isfinite(scores.corpus[name])
        assert not values[:3].any()
    assert scores.images["ROUGE_L"][4] == scores.images["ROUGE_L"][5] == 1


def test_a_broken_java_costs_only_the_scores_that_need_it(monkeypatch, tmp_path):
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    available.cache_clear()
    scores = score({1: ["a dog runs"], 2: ["a cat"]}, {1: "a dog", 2: "a cat"})
    available.cache_clear()  # other tests use another java
    assert scores.corpus.keys() == {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"}


def test_scores_of_images_belong_to_them_and_corpus_scores_can_be_resampled():
    references = {1: ["a dog runs in the snow"], 2: ["two cats sleep"], 3: ["a boy jumps high"]}
    scores = score(references, {1: "a dog runs in snow", 2: "three birds", 3: "a boy jumps"}, ["Bleu", "CIDEr"])
    assert scores.images["Bleu_1"].argmin() == scores.images["CIDEr"].argmin() == 1
    once = scores.weighted(np.ones((1, 3)))
    assert {name: values[0] for name, values in once.items()} == pytest.approx(scores.corpus)
    again = {1: "a dog runs in snow", 2: "three birds", 4: "a dog runs in snow"}
    twice = score({1: references[1], 2: references[2], 4: references[1]}, again, ["Bleu"])
    assert scores.weighted(np.array([[2.0, 1, 0]]))["Bleu_4"][0] == pytest.approx(twice.corpus["Bleu_4"])


@JAVA
@pytest.mark.slow
def test_scores_are_those_of_pycocoevalcap_with_its_java_words(shared):
    """All scores but SPICE are compared, on captions that the committed model wrote for validation photos."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    from utils.captioner import Captioner
    from utils.data.datasets import load_dataset

    photos = load_dataset("flickr8k", shared / "flickr8k").split("val")[:32]
    captions = Captioner.from_folder(ROOT / "models" / "flickr8k").caption([photo.path for photo in photos])
    candidates = {photo.id: caption.text for photo, caption in zip(photos, captions)}
    references = {photo.id: list(photo.references) for photo in photos}
    truth = PTBTokenizer().tokenize({i: [{"caption": t} for t in texts] for i, texts in references.items()})
    written = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in candidates.items()})
    expected = dict(zip(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), Bleu(4).compute_score(truth, written)[0]))
    for name, scorer in (("METEOR", Meteor()), ("ROUGE_L", Rouge()), ("CIDEr", Cider())):
        expected[name] = scorer.compute_score(truth, written)[0]
    ours = evaluate(references, candidates, ["Bleu", "METEOR", "ROUGE_L", "CIDEr"])
    assert ours == pytest.approx(expected, abs=1e-12)
