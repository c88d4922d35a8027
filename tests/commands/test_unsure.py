"""Test how inference.py treats captions of low confidence."""

import json

import numpy as np
import pytest

import inference
from utils.captioner import Captioner
from utils.model.caption import Caption
from utils.model.confidence import FEATURES, Confidence
from utils.model.consensus import Consensus


@pytest.fixture
def save_model(tiny_captioner, tmp_path):
    """Return a function that saves a model whose captions all have the same confidence."""

    def save(confidence):
        encoder = tiny_captioner.encoder
        means = np.random.default_rng(0).random((8, encoder.channels), "float32")
        consensus = Consensus.fit(means, [[[4, 5 if i % 2 else 6]] for i in range(8)], 9)
        count = len(FEATURES)
        sure = Confidence(np.zeros(count), np.ones(count), np.zeros(count), np.log(confidence / (1 - confidence)))
        parts = encoder, tiny_captioner.tokenizer, tiny_captioner.decoder, 6, "shapes", {}
        Captioner(*parts, consensus, sure).save(tmp_path / "model")
        return tmp_path / "model"

    return save


def test_an_unsure_caption_is_printed_and_reported_on_standard_error(save_model, save_photo, command):
    photo = save_photo()
    _, output, error = command(inference, "--model", save_model(0.3), "--image_path", photo)
    assert len(output.splitlines()) == 1
    assert [line for line in error.splitlines() if "unsure" in line] == [
        "unsure: the caption is right in its main point with a probability of 0.30"
    ]
    _, again, error = command(inference, "--model", save_model(0.8), "--image_path", photo)
    assert again == output
    assert "unsure" not in error


def test_photos_below_the_minimum_confidence_are_skipped_and_counted(save_model, save_photo, command):
    folder = save_photo("photos/a.png").parent
    save_photo("photos/b.png", seed=1)
    command_line = inference, "--model", save_model(0.3), "--image_path", folder, "--json", "-", "--min_confidence"
    status, output, error = command(*command_line, "0.4")
    assert (status, output) == (0, "")
    assert "2 photos left out: the confidence of their captions is below 0.4" in error
    _, output, _ = command(*command_line, "0.2")
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["captions"][0]["confidence"] for row in rows] == [0.3, 0.3]


def test_further_captions_below_the_minimum_confidence_are_left_out(save_model, save_photo, command, monkeypatch):
    def caption_each(self, sources, *_):
        for source in sources:
            yield (
                source,
                [
                    Caption(None, text, (text,), -1.0, np.ones((1, 2, 2)) / 4, confidence=sure)
                    for text, sure in (("A dog.", 0.7), ("A cat.", 0.3))
                ],
            )

    monkeypatch.setattr(Captioner, "caption_each", caption_each)
    flags = "--num_captions", 2, "--min_confidence", 0.5, "--json"
    _, output, _ = command(inference, save_photo(), "--model", save_model(0.3), *flags)
    assert [row["text"] for row in json.loads(output)["captions"]] == ["A dog."]


def test_unsure_captions_become_alternative_texts_only_on_request(save_model, save_photo, command):
    photo = save_photo("album/a.png")
    text = photo.with_name("a.png.txt")
    command_line = inference, "--model", save_model(0.3), "--image_path", photo.parent, "--alt_text", "file"
    _, _, error = command(*command_line)
    # The photos are named, because somebody has to describe them now.
    assert f"warning: {photo}: alternative text not written, because the confidence is 0.30\n" in error
    assert "alternative texts not written, because the confidence is below 0.5: 1; --min_confidence 0" in error
    _, _, error = command(*command_line, "--min_confidence", "0.4")
    assert f"warning: {photo}: alternative text not written" in error
    assert not text.exists()
    _, _, error = command(*command_line, "--min_confidence", "0")
    assert "not written" not in error
    assert text.exists()


def test_min_confidence_needs_a_model_with_confidence(tiny_captioner, tmp_path, fails, save_photo):
    tiny_captioner.save(tmp_path / "model")
    line = fails(inference, "--model", tmp_path / "model", "--image_path", save_photo(), "--min_confidence", "0.5")
    assert "train.py --confidence_only" in line
