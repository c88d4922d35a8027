"""Compare training from a trained model with training from random weights, on few pictures of an unknown kind.

    python -m tests.training.few_photos FOLDER
    python -m tests.training.few_photos FOLDER --model models/flickr8k-mobilenet --encoder mobilenet

Writes the table "Few photos" of docs/experiments.md. The pictures are drawn scenes, which no photo resembles, with
captions in `captions.csv`, as people give their own photos. Training from random weights needs the encoder's ImageNet
weights: --encoder_weights FILE, or Keras fetches them. Each result is kept in FOLDER/results.csv, so an interrupted
comparison continues.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from utils import console
from utils.data.shapes import find_mentions, load_scenes

_ROOT = Path(__file__).parents[2]
_TEST = 200
_COLUMNS = ("photos", "start", "seed", "cider", "bleu_4", "named", "epochs", "seconds")


def write_dataset(folder, scenes, count):
    """Write a folder with `captions.csv`: `count` scenes to train on, a fifth as many to validate on, and 200 to test.

    Args:
        folder: the folder, a Path.
        scenes: a list of Scene, as from `load_scenes`.
        count: number of training scenes.
    """
    if (folder / "captions.csv").exists():
        return
    folder.mkdir(parents=True)
    numbers = {"train": count, "val": max(4, count // 5), "test": _TEST}
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption", "split"])
        for split, number in numbers.items():
            for scene in [each for each in scenes if each.split == split][:number]:
                shutil.copy(scene.path, folder / scene.path.name)
                writer.writerows([scene.path.name, caption, split] for caption in scene.references)


def compare(folder, scenes, count, start, seed, encoder):
    """Train on `count` scenes from a model, or from random weights, and score the captions of the test scenes.

    Args:
        folder: the folder of the comparison, a Path.
        scenes: a list of Scene.
        count: number of training scenes.
        start: the model folder that training starts from, or "none".
        seed: the seed of the training.
        encoder: flags of train.py that choose the encoder for "none", a list.

    Returns:
        A dict of `_COLUMNS`. `named` is the share of the objects whose colour and shape the captions name.
    """
    data, model = folder / f"scenes-{count}", folder / f"model-{count}-{Path(start).name}-{seed}"
    write_dataset(data, scenes, count)
    places = "--dataset", "custom", "--data_dir", data, "--cache_dir", folder / "cache"
    begun = time.monotonic()
    settings = ["--start_from", start, "--seed", seed, *(encoder if start == "none" else [])]
    _run("train.py", *places, *settings, "--output_dir", model, "--overwrite")
    seconds = time.monotonic() - begun
    scores, captions = folder / "scores.json", folder / "captions.json"
    _run("evaluate.py", *places, "--model", model, "--split", "test", "--json", scores, "--captions_out", captions)
    found = {row["image_id"]: row["caption"] for row in json.loads(captions.read_text())}
    test = [scene for scene in scenes if scene.split == "test"][:_TEST]
    written = [found.get(scene.path.name, found.get(scene.path.stem)).split() for scene in test]
    objects = [{(each.colour, each.shape) for each in scene.objects} for scene in test]
    mentions = [{mention[:2] for mention in find_mentions(words)} for words in written]
    share = sum(len(own & said) for own, said in zip(objects, mentions, strict=True)) / sum(map(len, objects))
    metrics = json.loads(scores.read_text())
    with open(model / "history.csv", newline="", encoding="utf-8") as file:
        epochs = len(list(csv.reader(file))) - 1
    shutil.rmtree(model)
    values = count, Path(start).name, seed, metrics["CIDEr"], metrics["Bleu_4"], round(share, 4), epochs, round(seconds)
    return dict(zip(_COLUMNS, values, strict=True))


def _run(script, *arguments):
    """Run a script of this repository; its output goes to standard error."""
    command = [sys.executable, _ROOT / script, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=_ROOT, stdout=sys.stderr, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})


def main():
    """Run what `results.csv` lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="vgg16")
    parser.add_argument("--encoder_weights", default="imagenet")
    parser.add_argument("--model", default="models/flickr8k")
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 100, 300])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    encoder = ["--encoder", arguments.encoder, "--encoder_weights", arguments.encoder_weights]
    folder.mkdir(parents=True, exist_ok=True)
    scenes = load_scenes(folder, 0, {"train": max(arguments.counts), "val": max(arguments.counts), "test": _TEST})
    path = folder / "results.csv"
    rows = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    for seed in arguments.seeds:
        for count in arguments.counts:
            for start in (arguments.model, "none"):
                key = str(count), Path(start).name, str(seed)
                if any((row["photos"], row["start"], row["seed"]) == key for row in rows):
                    continue
                rows.append(compare(folder, scenes, count, start, seed, encoder))
                rows[-1] = {name: str(value) for name, value in rows[-1].items()}
                with open(path, "w", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, _COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
    for start in (Path(arguments.model).name, "none"):
        for count in arguments.counts:
            found = [row for row in rows if (row["photos"], row["start"]) == (str(count), start)]
            cells = []
            for name in ("cider", "bleu_4", "named", "seconds"):
                numbers = np.array([float(row[name]) for row in found])
                cells.append(f"{name} {numbers.mean():.3f} ± {numbers.std(ddof=1) if len(numbers) > 1 else 0:.3f}")
            print(f"{start:22}{count:5} photos, {len(found)} seeds: {', '.join(cells)}")


if __name__ == "__main__":
    console.run(main)
