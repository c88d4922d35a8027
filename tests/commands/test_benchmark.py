"""Test that the tutorial baseline computes the same as the program, and that every measurement is made."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import benchmark
from utils.benchmark import fresh, growth, measurements, samples, sizes, tutorial_baseline
from utils.benchmark.training import make_trainer
from utils.data.images import load_pixels
from utils.data.tokenizer import END, PAD
from utils.errors import InputError
from utils.model.search import Search
from utils.progress import silent
from utils.training.recipes import Recipe

TINY = sizes.Sizes(
    repetitions=1, warm_ups=0, encoders=("mobilenet",), image_size=32, photos=4, photos_alone=2, grids=((4, 6),),
    vocabulary=12,
    recipe=Recipe(
        units=8, attention_units=8, embedding_size=8, batch_size=3, captions_per_photo=2, max_words=6, dropout=0.0
    ),
    beams=(1, 2), batches=(1, 3), captions_alone=1, memory=("decoding",),
    growth_photos=(6, 12), growth_words=(12,),
)  # fmt: skip


def test_the_tutorial_baselines_regions_are_ours(tiny_encoder, save_photo, tmp_path):
    photos = [SimpleNamespace(id=str(n), path=save_photo(f"{n}.png", (32, 32), n)) for n in range(2)]
    tutorial_baseline.cache_regions(tiny_encoder, photos, tmp_path)
    ours = tiny_encoder.encode(np.stack([load_pixels(photo.path, 32) for photo in photos]))
    np.testing.assert_allclose([np.load(tmp_path / f"{n}.npy") for n in range(2)], ours, rtol=1e-4, atol=1e-4)


def test_the_tutorial_baselines_losses_are_ours(tmp_path):
    """Both losses are tested: of whole captions, and of one sample for every word. Dropout is off."""
    paths = samples.draw_photos(tmp_path, 3)
    trainer = make_trainer(TINY, (4, 6), paths, tmp_path)
    model, loop = (
        trainer.averaged,
        tutorial_baseline.TrainingLoop(trainer.averaged.decoder, TINY.recipe.label_smoothing),
    )
    regions, inputs, targets = trainer.batches.batch(0, 0)
    ours = float(trainer.model.loss(targets, model((regions, inputs), training=True)))

    repeated = np.repeat(regions, 2, axis=0)
    whole = loop.teacher_forced_loss(repeated, inputs.reshape(6, -1), loop.one_hot(targets.reshape(6, -1)))
    assert float(whole) == pytest.approx(ours, rel=1e-5)

    expanded = [
        tutorial_baseline.expand(i[None], t[None]) for i, t in zip(inputs.reshape(6, -1), targets.reshape(6, -1))
    ]
    prefixes, words = (np.concatenate(parts) for parts in zip(*expanded))
    assert len(words) == (targets != PAD).sum()
    rows = np.concatenate([np.repeat(r[None], len(w), axis=0) for r, (_, w) in zip(repeated, expanded)])
    assert float(loop.expanded_loss(rows, prefixes, loop.one_hot(words))) == pytest.approx(ours, rel=1e-5)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.slow
def test_the_tutorial_baselines_captions_are_ours(decoder, beam_size):
    decoder.output_bias.assign(np.where(np.arange(9) == END, -2, decoder.output_bias))  # captions of several words
    regions = np.random.default_rng(0).normal(size=(6, 5, 6)).astype("float32")
    ours = Search(decoder, beam_size, 6, batch_size=6, unrepeated=0, length_penalty=0)(regions).words[:, 0]
    model = tutorial_baseline.NextWord(decoder)
    theirs = [tutorial_baseline.write_caption(model, photo, beam_size, 6) for photo in regions]
    assert theirs == [[word for word in words if word != PAD] for words in ours.tolist()]
    assert len({tuple(words) for words in theirs}) > 1


@pytest.mark.slow
def test_a_run_measures_everything(monkeypatch, tmp_path, tiny_captioner, capsys):
    tiny_captioner.save(tmp_path / "model")
    monkeypatch.setattr(sizes, "QUICK", replace(TINY, model=tmp_path / "model"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert benchmark.main(["--quick", "--json", str(tmp_path / "out.json")]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    names = [(figure["phase"], figure["what"]) for figure in found["figures"]]
    assert len(set(names)) == len(names)
    by_phase = {phase: sum(each == phase for each, _ in names) for phase, _ in names}
    assert by_phase == {"first caption": 6, "caching": 5, "training": 6, "decoding": 4, "peak memory": 1}
    for figure in found["figures"]:
        assert figure["ours"] > 0, figure
        assert figure["baseline"] is None or figure["baseline"] > 0, figure
        assert figure["what"] in shown
    assert all(found["machine"]["matrix_products_gflops"].values())
    assert "ImageNet weights of mobilenet" in shown


@pytest.mark.slow
def test_growth_is_printed_drawn_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fresh, "call", lambda function, *arguments: function(*arguments))  # no new processes
    monkeypatch.setattr(sizes, "QUICK", TINY)
    files = {name: tmp_path / f"growth.{name}" for name in ("png", "json")}
    assert benchmark.main(["--quick", "--growth", str(files["png"]), "--json", str(files["json"])]) == 0
    assert files["png"].stat().st_size > 10_000
    shown, found = capsys.readouterr().out, json.loads(files["json"].read_text())
    counts = {}
    for point in found["points"]:
        counts.setdefault((point["against"], point["what"]), []).append(point["size"])
        assert point["seconds"] > 0
        assert point["what"] in shown
    assert list(counts.values()) == [[6, 12]] * 7 + [[12]] * 3
    disk = found["slopes"]["filling the cache, against photos"]["disk"]
    assert disk == pytest.approx(1, abs=0.2)


def test_a_slope_is_the_power_of_the_size():
    points = [growth.Point("photos", "sorting", size, size**2 / 1e3, 5.0, None) for size in (10, 100, 1000)]
    assert growth.slope(points, "seconds") == pytest.approx(2)
    assert growth.slope(points, "memory") == 0
    assert growth.slope(points, "disk") is growth.slope(points[:1], "seconds") is None


def test_better_means_more_a_second_and_fewer_bytes():
    assert measurements.Measurement("p", "w", "photos/s", (30, 10, 20), (5, 2, 4)).ratio == 5
    assert measurements.Measurement("p", "w", "bytes", (10,), (40,)).ratio == 4


def test_repetitions_come_in_turns_and_the_first_ones_do_not_count():
    calls = []
    runs = [lambda name=name: calls.append(name) or {name: len(calls)} for name in "ab"]
    assert measurements.take_turns(runs, sizes.Sizes(repetitions=2), silent, "") == {"a": (3, 5), "b": (4, 6)}
    assert "".join(calls) == "ababab"


def test_photos_of_a_folder_serve_in_turns(tmp_path, save_photo):
    good = [save_photo("photos/a.png"), save_photo("photos/c.png")]
    (tmp_path / "photos/b.png").write_bytes(b"no photo")
    assert samples.take_photos(tmp_path / "photos", 3) == [*good, good[0]]
    with pytest.raises(InputError, match="no photo can be read"):
        samples.take_photos(tmp_path / "photos/b.png", 3)
