import numpy as np
import pytest

from utils.data.tokenizer import END, PAD
from utils.model.caption_faults import best_first, fault
from utils.model.search import Hypotheses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a woman and a woman", "twice"),
        ("a black dog is playing with a dog", "twice"),
        ("a white and white dog is running", "twice"),
        ("a man in a black hat and hat is standing", "twice"),
        ("a dog is running on the", "breaks off"),
        ("a man is wearing a red", "breaks off"),
        ("a dog chases another dog", None),
        ("a black dog is playing with a white dog", None),
        ("a man in a red shirt and a woman in a red hat", None),
        ("a soccer player kicks a soccer ball", None),
        ("a woman is dressed in red", None),
        ("", None),
    ],
)
def test_faulty_captions_are_recognised(text, expected):
    assert fault(text.split()) == expected


def test_faulty_captions_come_last_within_their_group():
    assert best_first(["twice", None, "breaks off", None]) == [1, 3, 0, 2]
    assert best_first(["twice", None, None, None], groups=2) == [1, 2, 0, 3]


def test_a_caption_that_names_the_same_thing_twice_comes_after_the_others(tiny_captioner):
    a, dog, cat = 4, 5, 6
    broken, whole = [a, dog, a, dog, END, PAD], [a, cat, END, PAD, PAD, PAD]
    regions = tiny_captioner.encoder.rows * tiny_captioner.encoder.columns
    scores = np.array([[-1.0, -2.0]])
    attention, likeness = np.zeros((1, 2, 6, regions), "float32"), np.full((1, 2), np.nan)
    hypotheses = Hypotheses(np.array([[broken, whole]]), scores, attention, scores, likeness, np.full(1, np.nan))
    (found,) = tiny_captioner._captions(["photo.jpg"], hypotheses)
    assert (found[0].words, found[0].log_probability) == (("a", "cat"), -2.0)
