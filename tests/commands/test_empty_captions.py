"""Test that every program that captions photos reports a model that writes only empty captions."""

import pytest

import app
import inference
from tests.conftest import make_decoder
from utils.captioner import Captioner
from utils.data.datasets import Photo
from utils.evaluation.evaluate import Split, evaluate_captioner
from utils.progress import Reporter

_REPORT = "the model writes only empty captions"


@pytest.fixture
def dead(tiny_captioner):
    """Make a captioner whose weights are finite, but whose network computes NaN."""
    decoder = make_decoder(len(tiny_captioner.tokenizer), channels=tiny_captioner.encoder.channels)
    decoder.region_scale.assign(decoder.region_scale * 3e38)
    return Captioner(tiny_captioner.encoder, tiny_captioner.tokenizer, decoder, 6, "shapes", {})


def test_inference_reports_it_once_and_writes_no_alternative_texts(dead, command, save_photo, tmp_path):
    dead.save(tmp_path / "model")
    photos = [save_photo(f"album/{name}.png") for name in "ab"]
    status, output, error = command(inference, *photos, "--model", tmp_path / "model", "--alt_text", "file")
    assert status == 0
    assert [line.count(_REPORT) for line in error.splitlines() if line.startswith("warning: ")] == [1]
    assert output == "".join(f"{photo}\t\n" for photo in photos)
    assert not list((tmp_path / "album").glob("*.txt"))


def test_the_page_reports_it_once_and_under_each_photo(dead, save_photo, capfd):
    captions = app.Captions(lambda name: dead)
    found = list(captions.of([save_photo("a.png"), save_photo("b.png")], "mine", 3, 1))
    assert [text.split(":")[:2] for _, text in found] == [["mine", f" {_REPORT}"]] * 2
    assert capfd.readouterr().err.count(f"warning: mine: {_REPORT}") == 1


def test_evaluation_reports_it(dead, save_photo, tmp_path):
    photos = [Photo(name, save_photo(name), "val", ("a dog runs",)) for name in ("a.png", "b.png")]
    lines = []
    reporter = Reporter(say=lambda *said: lines.extend(said))
    list(evaluate_captioner(Split("custom", "val", photos, []), dead, "mine", tmp_path / "cache", reporter=reporter))
    assert [line for line in lines if _REPORT in line] == [
        line for line in lines if line.startswith("mine, beam 3: the")
    ]
    assert any(_REPORT in line for line in lines)
