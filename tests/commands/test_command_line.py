"""Test the scripts as a person uses them: from training to captions on a tiny sample, and all errors."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import pytest

import evaluate
import inference
import train
from utils.captioner import Captioner
from utils.data import shapes
from utils.model.consensus import Consensus
from utils.training import best_epoch, recipes
from utils.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _without_java(monkeypatch):
    """Hide Java, because its start takes seconds."""
    available = ("Bleu", "ROUGE_L", "CIDEr"), {"METEOR": "needs java"}
    monkeypatch.setattr("utils.evaluation.metrics.available", lambda: available)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Return the flags of a run on a tiny sample, which takes seconds."""
    recipe = replace(
        recipes.RECIPES["shapes"], epochs=2, image_size=32, layer="block2_pool", units=16, attention_units=16,
        embedding_size=16, beam_size=2,
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "shapes", recipe)
    monkeypatch.setattr(shapes, "COUNTS", {"train": 40, "val": 12, "test": 8, "unseen": 8})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(tmp_path, tiny_captioner):
    tiny_captioner.save(tmp_path / "model")
    return tmp_path / "model"


def test_from_training_to_a_caption(tiny, command, fails, save_photo):
    status, output, error = command(train)
    assert status == 0, error
    assert "epoch 2:" in output
    assert "KB per photo" in output
    assert "python inference.py" in output
    folder = tiny / "models" / "shapes"
    written = {path.name for path in folder.iterdir()}
    expected = "config.json vocabulary.txt decoder.weights.h5 history.csv README.md training.png attention.png"
    assert written == set(expected.split())
    assert len((folder / "history.csv").read_text().splitlines()) == 3

    assert "holds a model" in fails(train)
    assert "no interrupted run" in fails(train, "--resume")

    status, output, error = command(
        evaluate,
        "--split",
        "unseen",
        "--beam_size",
        "2",
        "--json",
        "out/scores.json",
        "--report",
        "out/report.html",
        "--captions_out",
        "captions.json",
    )
    assert status == 0, error
    assert "shapes unseen: 8 photos, 5 references a photo" in output
    assert "mentions have colour and shape right" in output
    page = Path("out/report.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert "attention entropy" in output
    scores = json.loads(Path("out/scores.json").read_text())
    assert {"Bleu_1", "Bleu_4", "ROUGE_L", "CIDEr", "right"} <= scores.keys()
    results = json.loads(Path("captions.json").read_text())
    assert len(results) == 8
    assert all(result.keys() == {"image_id", "caption"} for result in results)

    shutil.copytree(folder, "copy")
    status, output, error = command(evaluate, "--model", folder, "copy", "--json", "out/two.json")
    assert status == 0, error
    one, same = json.loads(Path("out/two.json").read_text())["evaluations"]
    assert (one["name"], same["name"]) == (str(folder), "copy")
    assert "extracting" not in output  # models with the same encoder share a cache
    assert one["CIDEr"] == same["CIDEr"]

    save_photo("photos/a.png")
    save_photo("photos/deep/b.jpg")
    Path("photos/bad.jpg").write_text("no photo")
    status, output, error = command(inference, "--model", folder, "--image_path", "photos", "--attention_map", "maps")
    assert status == 0, error
    assert [line.split("\t")[0] for line in output.splitlines()] == ["photos/a.png", "photos/deep/b.jpg"]
    assert "1 of 3 photos could not be read" in error
    assert sorted(p.as_posix() for p in Path("maps").rglob("*.png")) == ["maps/a.png", "maps/deep/b.png"]


@pytest.mark.slow
def test_an_interrupted_run_is_never_lost_by_accident_and_can_be_resumed(tiny, command, fails, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("utils.training.pipeline.write_history", interrupt)
        status, output, _ = command(train, "--seed", "1", "--set", "dropout=.1")
    assert status == 130
    assert "continue with: python train.py --resume models/shapes" in output
    assert "holds an interrupted run" in fails(train)
    run = Path("models/shapes/run.json")
    text = run.read_text()
    message = fails(train, "--resume", "--epochs", "3")
    assert "began with epochs 2, not 3; leave that out" in message
    run.write_text(json.dumps({key: value for key, value in json.loads(text).items() if key != "version"}))
    assert "another version of this program began its run" in fails(train, "--resume")
    run.write_text(text)
    scenes = shapes.load_scenes
    with monkeypatch.context() as patch:
        other = replace(scenes(Path("data/shapes"), 1)[0], references=("a cat",))
        patch.setattr(shapes, "load_scenes", lambda *given: [other, *scenes(*given)[1:]])
        assert "captions have changed since the run began" in fails(train, "--resume")
    photo = scenes(Path("data/shapes"), 1)[0].path
    pixels, times = photo.read_bytes(), photo.stat()
    photo.write_bytes(pixels[:-20] + b"?" + pixels[-19:])  # of the same size and time
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "contents of photos have changed since the run began" in fails(train, "--resume")
    photo.write_bytes(pixels)
    # Only the folder must be given.
    status, output, error = command(train, "--resume", "models/shapes")
    assert status == 0, error
    recipe = json.loads(Path("models/shapes/config.json").read_text())["training"]
    assert recipe["dropout"] == 0.1
    assert recipe["precision"] in ("float32", "bfloat16")
    assert "epoch 2:" in output
    assert not (tiny / "models" / "shapes" / "checkpoint.npz").exists()


def test_ones_own_photos_start_from_a_trained_model(tiny, model, command, save_photo, monkeypatch):
    monkeypatch.setattr(train, "START", model)
    recipe = replace(recipes.RECIPES["custom"], consensus=False, beam_size=2)
    monkeypatch.setitem(recipes.RECIPES, "custom", recipe)
    rows = [f"{save_photo(f'own/{n}.png', seed=n).name},a zebra runs" for n in range(6)]
    Path("own/captions.csv").write_text("image,caption\n" + "\n".join(rows) + "\n")
    seen = []

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(dict(logs))

    flags = ["--dataset", "custom", "--data_dir", "own", "--epochs", "1"]
    with monkeypatch.context() as patch:
        main = train.main
        patch.setattr(train, "main", lambda: main(callbacks=[Logs()]))
        status, output, error = command(train, *flags)
    assert status == 0, error
    assert output.startswith("training starts from model: its vgg16, decoder and 9 words")
    assert "vocabulary: 10 words, 1 of them new" in output
    assert "photos are few to validate on" in output
    assert "kept: " in output
    assert {"loss", "val_loss", "val_CIDEr", "val_Bleu_4"} <= seen[0].keys()
    assert Captioner.from_folder("models/custom").tokenizer.words[-1] == "zebra"
    assert "Training started from the model `model`" in Path("models/custom/README.md").read_text()


@pytest.mark.slow
def test_a_trained_model_is_fine_tuned_without_training_its_decoder_alone(tiny, model, command, save_photo):
    rows = [f"{save_photo(f'own/{n}.png', seed=n).name},a zebra runs" for n in range(6)]
    Path("own/captions.csv").write_text("image,caption\n" + "\n".join(rows) + "\n")
    flags = ["--dataset", "custom", "--data_dir", "own", "--start_from", "model", "--epochs", "0"]
    _, _, error = command(train, *flags)
    assert "nothing is trained" in error
    flags += ["--finetune_encoder", "block1_conv1", "--tagging_epochs", "0", "--finetune_epochs", "1"]
    status, output, error = command(train, *flags)
    assert status == 0, error
    assert "decoder epoch" not in output
    assert "finetuning epoch 1:" in output
    before, after = (Captioner.from_folder(folder).encoder.fingerprint for folder in ("model", "models/custom"))
    kept = "the model it started from" in output
    assert (before == after) == kept


@pytest.mark.slow
def test_all_stages_one_after_the_other_and_resumed_in_between(tiny, command, monkeypatch):
    """The stages are tagging, decoder, fine-tuning and self-critical training."""
    flags = (
        "--epochs", "1", "--finetune_encoder", "block1_conv1", "--tagging_epochs", "1", "--finetune_epochs", "1",
        "--scst_epochs", "1",
    )  # fmt: skip
    inner, saves = Captioner.save, []

    def save(self, folder):
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt
        inner(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Captioner, "save", save)
        patch.setattr(Trainer, "is_best", True)  # so that each stage writes its model
        status, _, error = command(train, *flags)
    assert status == 130, error
    assert Path("models/shapes/tagged_encoder.weights.h5").exists()
    status, output, error = command(train, *flags, "--resume")
    assert status == 0, error
    assert "finetuning epoch 1" in output
    rows = Path("models/shapes/history.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["tagging", "decoder", "finetuning", "self-critical"]
    written = {path.name for path in Path("models/shapes").iterdir()}
    assert "encoder.weights.h5" in written
    assert not {"tagged_encoder.weights.h5", "run.json"} & written
    assert Captioner.from_folder("models/shapes").encoder.weights == "trained"


@pytest.mark.slow
def test_an_encoder_is_tuned_after_a_decoder_on_cached_regions(tiny, command):
    flags = ("--finetune_encoder", "block1_conv1", "--tagging_epochs", "0", "--finetune_epochs", "1")
    status, output, error = command(train, "--epochs", "1", *flags)
    assert status == 0, error
    assert "extracting" in output
    rows = Path("models/shapes/history.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["decoder", "finetuning"]


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (train, ["--epochs", "-1"], "must be"),
        (train, ["--epochs", "many"], "not a whole number"),
        (train, ["--tagging_epochs", "0"], "add --finetune_encoder"),
        (train, ["--learning_rate", "nan"], "must be"),
        (train, ["--batch_size", "-3"], "must be"),
        (train, ["--dataset", "imagenet"], "invalid choice"),
        (train, ["--dataset", "coco", "coco"], "name each dataset once"),
        (train, ["--dataset", "coco", "custom", "--data_dir", "one"], "names 1 folders for 2 datasets"),
        (train, ["--shard", "9/8"], "not a part such as 2/8"),
        (train, ["--bogus"], "unrecognized arguments"),
        (train, ["--overwrite", "--resume"], "exclude each other"),
        (train, ["--distribute", "mirrored", "--shard", "1/2"], "exclude each other"),
        (train, ["--distribute", "mirrored", "--scst_epochs", "1"], "runs on one device"),
        (train, ["--dataset", "flickr8k", "--data_dir", "nowhere"], "no such folder"),
        (train, ["--encoder", "vgg17"], "unknown encoder"),
        (train, ["--encoder", "effnet", "--dataset", "flickr8k", "--data_dir", "nowhere"], "unknown encoder"),
        (train, ["--set", "width=3"], "NAME is encoder, encoder_weights"),
        (train, ["--set", "units=many"], "units must be a whole number"),
        (train, ["--set", "units=0"], "must be between 1"),
        (train, ["--set", "epochs=3", "--epochs", "3"], "given twice"),
        (train, ["--precision", "half"], "invalid choice"),
        (train, ["--start_from", "nowhere"], "no model in this folder"),
        (train, ["--epochs", "0"], "there must be a trained decoder"),
        (train, ["--start_from", str(ROOT / "models/flickr8k"), "--encoder", "resnet50"], "leave it out"),
        (train, ["--encoder_weights", "nowhere.h5"], "no such file"),
        (train, ["--output_dir", "/proc/model"], "cannot be written"),
        (train, ["--encoder", "vgg17", "--encoder_weights", "scenes"], "unknown encoder"),
        (train, ["--data_dir", "photos"], "name its dataset with --dataset"),
        (train, ["--dataset", "shapes", "--data_dir", "/proc/data"], "cannot be written"),
        (train, ["--cache_dir", "/proc/cache"], "choose another"),
        (evaluate, ["--model", "nowhere"], "no model in this folder"),
        (evaluate, ["--beam_size", "0"], "must be"),
        (evaluate, ["--json", "."], "is a folder"),
        (evaluate, ["--captions", "nowhere.json"], "no such file of captions"),
        (evaluate, ["--compare"], "give two models"),
        (evaluate, ["--clipscore", "--captions", __file__], "pip install open_clip_torch"),
        (evaluate, ["--beam_size", "1", "3", "--captions_out", "x.json"], "one model with one beam size"),
    ],
)
def test_errors_are_one_line_and_status_2(tiny, fails, script, arguments, message):
    assert message in fails(script, *arguments)


@pytest.fixture
def flickr8k(tmp_path):
    """Make a folder with the captions and the lists of splits of Flickr8k, but without photos."""
    folder = tmp_path / "captions_only"
    folder.mkdir()
    names = [f"{n}.jpg" for n in range(4)]
    lines = [f"{name}#{k}\ta dog number {n} runs {k} times ." for n, name in enumerate(names) for k in range(2)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines))
    (folder / "Flickr_8k.trainImages.txt").write_text("0.jpg\n")
    (folder / "Flickr_8k.devImages.txt").write_text("1.jpg\n2.jpg\n3.jpg\n")
    return folder


def write_captions(path, captions):
    path.write_text(json.dumps([{"image_id": i, "caption": text} for i, text in captions.items()]))
    return path


def test_anyones_captions_are_scored_without_model_or_photos(flickr8k, command, tmp_path):
    mine = write_captions(tmp_path / "mine.json", {"1.jpg": "A dog runs.", "2.jpg": "</script> 🐕", "x.jpg": "a cat"})
    other = write_captions(tmp_path / "other.json", {f"{n}.jpg": f"a dog number {n} runs 0 times" for n in (1, 2, 3)})
    status, output, error = command(
        evaluate, "--dataset", "flickr8k", "--data_dir", flickr8k, "--captions", mine, other, "--compare",
        "--baselines", "--json", tmp_path / "scores.json", "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert status == 0, error
    assert "3 photos, 2 references a photo" in output
    assert "1 of 3 images have no caption" in output
    assert "1 of 3 captions are of other images" in output
    assert "people, against the other references" in output
    assert "METEOR is not computed: needs java" in output
    scores = json.loads((tmp_path / "scores.json").read_text())
    first, second = scores["evaluations"]
    assert first["Bleu_4"] < second["Bleu_4"]
    assert scores["comparisons"][0]["scores"]["CIDEr"]["value"] == pytest.approx(second["CIDEr"] - first["CIDEr"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("</script>") == 2  # a caption cannot end the page's own script
    assert "http" not in page


def test_an_output_named_like_a_photo_is_refused(model, fails, save_photo):
    photo = save_photo("photo.jpg")
    assert "named like a photo" in fails(inference, "--model", model, "--json", photo, "--overwrite")
    assert photo.stat().st_size > 0


def test_nothing_is_compared_with_itself(model, fails):
    assert "a value is given twice" in fails(evaluate, "--model", model, model, "--compare")


def test_captions_of_another_split_are_an_error(flickr8k, fails, tmp_path):
    path = write_captions(tmp_path / "mine.json", {"0.jpg": "A dog runs."})
    assert "another --dataset or --split?" in fails(
        evaluate, "--dataset", "flickr8k", "--data_dir", flickr8k, "--captions", path
    )


def test_parts_of_the_photos_are_extracted_on_their_own(tiny, command):
    status, output, error = command(train, "--shard", "2/3")
    assert status == 0, error
    assert "part 2 of 3: 23 of 68 photos" in output
    assert "23 photos are in data/cache/shapes-vgg16-" in output
    assert not (tiny / "models").exists()


@pytest.mark.slow
def test_a_part_of_coco_with_ones_own_photos_trains_and_is_evaluated(
    tiny, command, fails, shared, save_photo, monkeypatch
):
    monkeypatch.setitem(recipes.RECIPES, "coco", replace(recipes.RECIPES["shapes"], consensus=True))
    monkeypatch.setattr(best_epoch, "FEW_PHOTOS", 1)
    likeness = Consensus.likeness
    # No caption changes, so the consensus is kept.
    monkeypatch.setattr(Consensus, "likeness", lambda *given: 0 * likeness(*given))
    rows = [f"{number}.png,a dog,{'val' if number % 3 == 0 else 'train'}" for number in range(9)]
    for number in range(9):
        save_photo(f"own/{number}.png", seed=number)
    Path("own/captions.csv").write_text("image,caption,split\n" + "\n".join(rows) + "\n")
    both = ["--dataset", "coco", "custom", "--data_dir", shared / "coco", "own"]
    status, output, error = command(train, *both, "--min_word_count", "1", "--epochs", "1")
    assert status == 0, error
    assert "coco: 4960 of 5000 photos of split val are not in" in output
    assert "coco+custom: 26 train, 43 val photos" in output
    assert f"--dataset coco custom --data_dir {shared / 'coco'} own" in output

    coco = ["--model", "models/coco+custom", "--dataset", "coco", "--data_dir", shared / "coco"]
    status, output, error = command(evaluate, *coco, "--captions_out", "captions.json")
    assert status == 0, error
    assert "coco val: 40 photos" in output
    assert "extracting" not in output  # the regions of both datasets are in the cache
    results = json.loads(Path("captions.json").read_text())
    assert {139, 802} <= {result["image_id"] for result in results}

    # The consensus was fitted at the end, and can be fitted again alone.
    folder = Path("models/coco+custom")
    assert "beam 2, ranked by consensus too" in (folder / "README.md").read_text()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "consensus.h5").unlink()
    config = json.loads(before["config.json"]) | {"consensus": False}
    (folder / "config.json").write_text(json.dumps(config))
    status, output, error = command(train, *both, "--consensus_only")
    assert status == 0, error
    assert "with consensus: val CIDEr" in output
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert json.loads(after.pop("config.json")) == json.loads(before.pop("config.json"))
    # HDF5 files contain the time when they were written.
    assert Consensus.load(folder / "consensus.h5").landmarks.shape[0] == 26
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in after if name != "consensus.h5")
    message = fails(train, "--consensus_only", "--output_dir", folder)
    assert "was trained on --dataset coco custom; name the same" in message
    Path("own/captions.csv").write_text("image,caption,split\n" + "\n".join(rows[:6]).replace("dog", "cat") + "\n")
    message = fails(train, *both, "--consensus_only")
    assert "its vocabulary differs from the words of these" in message
    assert "trains nothing: leave out --overwrite" in fails(train, "--consensus_only", "--overwrite")


@pytest.mark.slow
def test_consensus_that_makes_captions_worse_is_left_out(tiny, command, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "shapes", replace(recipes.RECIPES["shapes"], consensus=True, epochs=1))
    monkeypatch.setattr(best_epoch, "FEW_PHOTOS", 1)
    likeness = Consensus.likeness
    monkeypatch.setattr(Consensus, "likeness", lambda *given: -100 * likeness(*given))
    status, output, error = command(train)
    assert status == 0, error
    assert "consensus is left out" in output
    folder = Path("models/shapes")
    assert not (folder / "consensus.h5").exists()
    assert json.loads((folder / "config.json").read_text())["consensus"] is False
    assert "consensus" not in (folder / "README.md").read_text()


def test_evaluating_a_split_that_does_not_exist(tiny, model, fails):
    assert "no photos in split nonsense" in fails(evaluate, "--model", model, "--split", "nonsense")


def test_imagenet_weights_without_network_end_in_one_line(tiny, fails, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tiny / "keras"))
    monkeypatch.setattr("utils.features.encoder_weights._DOWNLOAD_TIMEOUT", 3)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    line = fails(train, "--encoder_weights", "imagenet")
    assert "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in line
    assert str(tiny / "keras" / "models") in line


@pytest.mark.parametrize("script", ["train", "evaluate", "inference", "benchmark"])
def test_help_does_not_wait_for_tensorflow(script):
    code = f"import sys, {script}; {script}.parse_arguments([]); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_mission_command_line_is_understood():
    arguments = train.parse_arguments(["--epochs", "50", "--batch_size", "32", "--learning_rate", "0.001"])
    recipe = train.choose_recipe(arguments)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (50, 32, 0.001)
    assert arguments.output_dir == Path("models/shapes")


def test_another_encoder_comes_with_its_own_layer_and_weights():
    """The layer and the weights in the recipe of the sample fit only VGG16."""
    recipe = train.choose_recipe(train.parse_arguments(["--encoder", "mobilenet"]))
    assert (recipe.layer, recipe.encoder_weights) == (None, "imagenet")
    recipe = train.choose_recipe(train.parse_arguments(["--encoder", "mobilenet", "--encoder_weights", "random"]))
    assert recipe.encoder_weights == "random"
    same = train.choose_recipe(train.parse_arguments(["--encoder", "vgg16"]))
    assert same == recipes.RECIPES["shapes"]
