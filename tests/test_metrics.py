import pytest

from utils.errors import InputError
from utils.metrics import evaluate


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
