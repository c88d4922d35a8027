"""Compare a model's confidence with a person's judgements of its captions.

    python -m tests.evaluation.judged --model models/flickr8k --data_dir data/flickr8k --photos OTHER_PHOTOS

Writes the table of docs/confidence.md: `docs/judgements.csv` says which captions (beam size 5) a person called right,
partly right or wrong. Photos of `val` get their confidence from a fit on the other four fifths of `val`. The photos in
the folder OTHER_PHOTOS are of no dataset that the confidence was fitted on, so it is used as it is.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils import console

_JUDGEMENTS = Path(__file__).parents[2] / "docs/judgements.csv"
_FOLDS, _RESAMPLES, _PICTURES = 5, 1000, 20


def read_judgements(model):
    """Read the judgements of a model's captions.

    Args:
        model: name of the model folder.

    Returns:
        A dict from photo file name to whether the caption is right or partly right.
    """
    with open(_JUDGEMENTS, newline="", encoding="utf-8") as file:
        return {row["photo"]: row["verdict"] != "wrong" for row in csv.DictReader(file) if row["model"] == model}


def cross_validated(inputs, right, photos):
    """Compute the confidence of each photo's caption with a fit on the other folds.

    Args:
        inputs, right: as from `training_data`.
        photos: number of photos; the further rows are pictures that are no photos, which are in every fit.

    Returns:
        Confidences, float (photos,).
    """
    from utils.model.confidence import Confidence

    folds = np.random.default_rng(0).permutation(photos) % _FOLDS
    folds = np.concatenate([folds, np.full(len(inputs) - photos, -1)])
    found = np.zeros(photos)
    for fold in range(_FOLDS):
        own = folds == fold
        found[own[:photos]] = Confidence.fit(inputs[~own], right[~own])(inputs[own])
    return found


def draw_pictures(size):
    """Draw pictures that are no photos: noise, single colours, white, drawn scenes, text and coloured lines.

    The fit of the confidence has other pictures of these kinds, but no text and no lines.

    Args:
        size: width and height in pixels.

    Returns:
        A dict from the name of a kind to a list of arrays, uint8 (size, size, 3), or PIL images.
    """
    from utils.data.shapes import draw_scene

    generator = np.random.default_rng(1)
    white = [np.full((size, size, 3), 255, "uint8")]
    noise = [generator.integers(0, 256, (size, size, 3), "uint8") for _ in range(_PICTURES)]
    colours = [np.full((size, size, 3), generator.integers(0, 256, 3), "uint8") for _ in range(_PICTURES)]
    scenes = [draw_scene("train", generator)[2] for _ in range(_PICTURES)]
    pages, lines = [], []
    for _ in range(_PICTURES):
        page = Image.new("RGB", (size, size), "white")
        letters = "".join(chr(97 + number) if number < 26 else " " for number in generator.integers(0, 32, 2000))
        text = "\n".join(letters[start : start + 60] for start in range(0, len(letters), 60))
        ImageDraw.Draw(page).text((4, 4), text, "black", ImageFont.load_default(int(generator.integers(9, 30))))
        pages.append(page)
        drawing = Image.new("RGB", (size, size), "white")
        for ends in generator.integers(0, size, (12, 4)).tolist():
            ImageDraw.Draw(drawing).line(ends, tuple(generator.integers(0, 256, 3).tolist()), 4)
        lines.append(drawing)
    return {
        "noise": noise, "a single colour": colours, "drawn scenes": scenes, "white": white, "text": pages,
        "coloured lines": lines,
    }  # fmt: skip


def describe(name, confidence, right):
    """Print a row of the table: confidence and judgements of some photos, arrays (photos,)."""
    from utils.evaluation.confidence_quality import area_under_curve, calibration

    generator = np.random.default_rng(0)
    draws = (generator.integers(0, len(right), len(right)) for _ in range(_RESAMPLES))
    low, high = np.nanpercentile([area_under_curve(confidence[own], right[own]) for own in draws], (2.5, 97.5))
    print(
        f"{len(right)} photos of {name}: mean confidence {confidence.mean():.2f}, right or partly right "
        f"{right.mean():.2f}, area {area_under_curve(confidence, right):.3f} ({low:.2f} to {high:.2f}), "
        f"calibration error {calibration(confidence, right)[0]:.3f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder of Flickr8k")
    parser.add_argument("--cache_dir", type=Path, default=Path("data/cache"), help="folder of the region caches")
    parser.add_argument("--photos", type=Path, required=True, help="folder of the judged photos of other datasets")
    arguments = parser.parse_args()
    console.import_keras()
    from utils.captioner import Captioner
    from utils.data.datasets import load_dataset
    from utils.training.fit_confidence import training_data

    judged = read_judgements(arguments.model.name)
    captioner = Captioner.from_folder(arguments.model)
    val = load_dataset("flickr8k", arguments.data_dir).split("val")
    inputs, right = training_data(captioner, val, arguments.cache_dir, reporter=console.REPORTER)
    confidence = dict(zip((photo.path.name for photo in val), cross_validated(inputs, right, len(val))))
    paths = [path for path in sorted(arguments.photos.rglob("*.jpg")) if path.name in judged]
    others = {path.name: found[0].confidence for path, found in captioner.caption_each(paths)}
    both = []
    for name, found in (("val", confidence), ("other datasets", others)):
        names = sorted(found.keys() & judged.keys())
        both.append([np.array([each[key] for key in names]) for each in (found, judged)])
        describe(name, *both[-1])
    describe("both", *(np.concatenate(each) for each in zip(*both)))
    for least in (0.5, 0.6, 0.7, 0.8):
        kept = [(found >= least, right) for found, right in both]
        cells = [f"{own.mean():.2f} kept, {right[own].mean():.2f} of them right or partly right" for own, right in kept]
        print(f"minimum confidence {least}: val {cells[0]}; other datasets {cells[1]}")
    for kind, pictures in draw_pictures(captioner.encoder.image_size).items():
        found = [caption.confidence for caption in captioner.caption(pictures)]
        print(f"{len(pictures)} pictures of {kind}: mean confidence {np.mean(found):.2f}")


if __name__ == "__main__":
    main()
