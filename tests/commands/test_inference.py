"""Test inference.py as a person uses it: photos, folders, tables, attention maps, and errors."""

import csv
import io
import json
import sys
import time
from pathlib import Path

import pytest

import inference
from utils import console
from utils.data.photo_files import sample_photo


@pytest.fixture
def model(tmp_path, tiny_captioner):
    tiny_captioner.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_photo_is_captioned_with_a_picture_of_the_attention(model, command, fails, tmp_path):
    status, output, error = command(
        inference, "--model", model, "--image_path", sample_photo(), "--attention_map", tmp_path / "out.png"
    )
    assert (status, error) == (0, "")
    assert output.endswith(".\n")
    assert len(output.splitlines()) == 1
    assert (tmp_path / "out.png").stat().st_size > 10_000
    assert command(inference, "--model", model)[1] == output
    before = (tmp_path / "out.png").read_bytes()
    status, _, error = command(inference, "--model", model, "--attention_map", f"{tmp_path / 'maps'}/")
    assert status == 0, error
    assert (tmp_path / "maps" / "grace_hopper.png").read_bytes() == before
    assert "exists" in fails(inference, "--model", model, "--attention_map", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == before


def test_bad_photos_are_one_line_each(model, fails, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear photo")
    (tmp_path / "cut.jpg").write_bytes(sample_photo().read_bytes()[:20_000])
    (tmp_path / "empty").mkdir()
    for path, message in {
        "missing.jpg": "no such file or folder",
        "letter.jpg": "not an image",
        "cut.jpg": "damaged image",
        "empty": "no photos in this folder",
    }.items():
        assert message in fails(inference, "--model", model, "--image_path", tmp_path / path)
    (tmp_path / "empty" / "only.jpg").write_text("no photo")
    assert "no photo could be read" in fails(inference, "--model", model, "--image_path", tmp_path / "empty")


def test_captions_as_tables(model, command, fails, save_photo, tmp_path):
    names = [str(save_photo(f"photos/{name}", seed=seed)) for seed, name in enumerate(("a, b.png", "ü.png"))]
    caption = [inference, "--model", model, "--image_path", tmp_path / "photos", "--num_captions", "2"]
    status, output, error = command(*caption, "--json")
    assert status == 0, error
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["photo"] for row in rows] == names
    texts = [[caption["text"] for caption in row["captions"]] for row in rows]
    assert [len(set(captions)) for captions in texts] == [2, 2]

    assert command(*caption, "--csv", tmp_path / "out.csv")[0] == 0
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["photo"] for row in table] == [name for name in names for _ in range(2)]
    assert [row["caption"] for row in table] == [text for captions in texts for text in captions]
    assert "exists" in fails(*caption, "--csv", tmp_path / "out.csv")
    assert command(*caption, "--csv", tmp_path / "out.csv", "--overwrite")[0] == 0


def test_outputs_of_all_parts_equal_the_output_of_one_run(model, command, save_photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save_photo(f"photos/{number}.png", seed=number)
    caption = [inference, "--model", model, "--image_path", "photos"]
    whole = command(*caption)[1]
    parts = [command(*caption, "--attention_map", "maps", "--shard", f"{number}/2") for number in (1, 2)]
    assert [status for status, _, _ in parts] == [0, 0]
    assert "".join(output for _, output, _ in parts) == whole
    assert len(list(Path("maps").glob("*.png"))) == 3
    # A part without photos is a success.
    assert command(*caption, "--shard", "1/4")[:2] == (0, "")


def test_alternative_texts_beside_photos(model, command, save_photo, tmp_path):
    photo = save_photo("photos/a.jpg")
    caption = [inference, "--model", model, "--image_path", tmp_path / "photos", "--alt_text", "file"]
    status, output, error = command(*caption)
    assert status == 0, error
    text = photo.with_name("a.jpg.txt")
    assert output == f"{photo}\t{text.read_text()}"
    text.write_text("mine")
    status, output, error = command(*caption)
    assert (status, output) == (0, "")
    assert "1 of 1 photos already have an alternative text and are not captioned again" in error
    assert text.read_text() == "mine"
    # A table contains all photos.
    assert command(*caption, "--csv")[1].count("\n") == 2
    assert text.read_text() == "mine"


def test_an_unknown_picture_format_is_one_line(model, fails, tmp_path):
    assert "unknown picture format" in fails(inference, "--model", model, "--attention_map", tmp_path / "out.xyz")


def test_maps_of_several_photos_need_a_folder_not_a_picture(model, fails, save_photo, tmp_path):
    save_photo("photos/a.jpg")
    photos = ("--image_path", tmp_path / "photos", "--attention_map", tmp_path / "out.png")
    assert "takes a folder" in fails(inference, "--model", model, *photos)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("line", "photos", "folder"),
    [
        ("a.jpg", ["a.jpg"], "models/flickr8k"),
        ("a.jpg --beam_size 1 b.jpg --json", ["a.jpg", "b.jpg"], "models/flickr8k"),
        ("- --image_path c.jpg", ["-", "c.jpg"], "models/flickr8k"),
        ("--model {model} a.jpg", ["a.jpg"], "{model}"),
        ("--model {model} -- -a.jpg --csv", ["-a.jpg", "--csv"], "{model}"),
        ("a.jpg --model {model} photos", ["a.jpg", "photos"], "{model}"),
    ],
)
def test_photos_can_stand_anywhere_on_the_command_line(model, line, photos, folder):
    parsed = inference.parse_arguments(line.format(model=model).split())
    assert parsed.photos == photos
    assert str(parsed.model) == folder.format(model=model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], "no model in this folder"),
        (["--model", "models/flickr8k", "models/flickr8k-mobilenet", "a.jpg"], "--model takes one model folder"),
        (["--beam_size", "3.5"], "is not a whole number"),
        (["nowhere.jpg"], "nowhere.jpg: no such file or folder"),
        (["--bogus", "a.jpg"], "unrecognized arguments: --bogus"),
    ],
)
def test_errors_are_one_line_and_status_2(fails, monkeypatch, arguments, message):
    monkeypatch.chdir(Path(inference.__file__).parent)  # where models/flickr8k is
    assert message in fails(inference, *arguments)


def test_several_captions_come_best_first_with_their_scores(model, command, save_photo):
    photo = save_photo()
    status, output, error = command(inference, photo, "--model", model, "--num_captions", "3")
    assert (status, error) == (0, "")
    lines = [line.split("\t") for line in output.splitlines()]
    scores = [float(score) for _, score in lines]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    rows = json.loads(command(inference, photo, "--model", model, "--num_captions", "3", "--json")[1])["captions"]
    assert [(row["text"], row["score"]) for row in rows] == [(text, float(score)) for text, score in lines]


def test_the_last_line_reports_how_many_photos_were_captioned_and_the_outputs(model, command, save_photo, tmp_path):
    photos = [save_photo(f"{name}.png") for name in "ab"]
    (tmp_path / "bad.jpg").write_text("no photo")
    flags = ("--csv", tmp_path / "out.csv", "--attention_map", tmp_path / "maps")
    status, output, error = command(inference, *photos, tmp_path / "bad.jpg", "--model", model, *flags)
    assert (status, output) == (0, "")
    where = f"{tmp_path / 'out.csv'}, maps in {tmp_path / 'maps'}"
    assert error.splitlines()[-1] == f"2 of 3 photos captioned; written to {where}"


def test_the_clock_of_the_progress_bar_runs_while_no_photo_is_finished(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress(total=3, unit="photo"):
        time.sleep(2.4)
    assert all(mark in terminal.getvalue() for mark in ("00:00<", "00:01<", "00:02<"))
