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
        photos: number of photos; the further rows are pictures without content, which are in every fit.

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
    generator, size = np.random.default_rng(1), captioner.encoder.image_size
    for kind, shape in (("noise", (size, size, 3)), ("a single colour", 3)):
        pictures = [np.full((size, size, 3), generator.integers(0, 256, shape), "uint8") for _ in range(_PICTURES)]
        found = [caption.confidence for caption in captioner.caption(pictures)]
        print(f"{_PICTURES} pictures of {kind}: mean confidence {np.mean(found):.2f}")


if __name__ == "__main__":
    main()
