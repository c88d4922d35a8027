import contextlib
import io

import numpy as np
import pytest

from utils.data.tokenizer import END, PAD
from utils.training.rewards import CaptionReward, CiderReward, meteor


def fill(captions, length=9):
    return np.array([[[*caption, *[PAD] * (length - len(caption))] for caption in photo] for photo in captions])


def test_the_reward_is_pycocoevalcaps_cider():
    """Document frequencies come from the same references, and the end of a caption counts as a word."""
    from pycocoevalcap.cider.cider import Cider

    generator = np.random.default_rng(0)
    captions = [[[*generator.integers(4, 12, n), END] for n in generator.integers(1, 8, 4)] for _ in range(12)]
    written, references = [photo[:1] for photo in captions], [photo[1:] for photo in captions]
    words = [[" ".join(map(str, caption)) for caption in photo] for photo in references]
    with contextlib.redirect_stdout(io.StringIO()):
        _, expected = Cider().compute_score(
            dict(enumerate(words)), {i: [" ".join(map(str, photo[0]))] for i, photo in enumerate(written)}
        )
    rewards = CiderReward(fill(references))(fill(references), fill(written))
    assert expected.max() > 0.1
    np.testing.assert_allclose(rewards[:, 0], expected, rtol=1e-5)


def test_a_caption_that_breaks_off_is_worth_less():
    references = fill([[[4, 5, 6, END]], [[7, 8, 9, END]]])
    whole, broken = CiderReward(references)(references, fill([[[4, 5, 6, END], [4, 5, 6]], [[7], [7]]]))[0]
    assert whole == pytest.approx(10, abs=1e-4)
    assert broken < whole


def test_photos_without_references_are_worth_nothing():
    """Photos without references pad the last batch."""
    references = fill([[[4, 5, END], []], [[], []]])
    assert CiderReward(references)(references, fill([[[4, END]], [[4, END]]]))[1, 0] == 0


@pytest.mark.parametrize(
    ("caption", "score"),
    [
        ("the cat sat on the mat", 1 - 0.5 / 6**3),
        ("on the mat sat the cat", 1 - 0.5 * (3 / 6) ** 3),
        ("the cat was sat on the mat", 10 * (6 / 7) / (1 + 9 * 6 / 7) * (1 - 0.5 * (2 / 6) ** 3),),
        ("the the the", 10 * (2 / 3) * (2 / 6) / (2 / 6 + 9 * 2 / 3) * (1 - 0.5 * (2 / 2) ** 3)),
        ("a dog", 0.0),
        ("", 0.0),
    ],
)  # fmt: skip
def test_meteor_of_captions_worked_out_by_hand(caption, score):
    assert meteor(caption.split(), ["the", "cat", "sat", "on", "the", "mat"]) == pytest.approx(score)


def test_the_reward_adds_meteor_against_the_most_similar_reference():
    references = fill([[[4, 5, 6, END], [7, 8, 9, END]], [[7, 4, 9, END], [5, END]]])
    captions = fill([[[4, 5, 6, END], [8, 9, END]], [[6, END], [7, 4, END]]])
    added = CaptionReward(references, 2.0)(references, captions) - CiderReward(references)(references, captions)
    recalled = 10 * (2 / 3) / (2 / 3 + 9) * (1 - 0.5 / 2**3)  # two of the three words are written, and no other words
    np.testing.assert_allclose(added, [[2 * (1 - 0.5 / 3**3), 2 * recalled], [0, 2 * recalled]], rtol=1e-5)
