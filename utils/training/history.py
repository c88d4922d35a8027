"""Write the training history to files. It has one row, a dict of scores, for each epoch."""

import csv

from utils.files import replacing
from utils.outputs import plots


def write_history(folder, history):
    """Write the training history into a model folder: `history.csv`, and its curves as `training.png`.

    Args:
        folder: model folder, a Path.
        history: the training history, a list with a dict of scores for each epoch.
    """
    write_rows(folder / "history.csv", history)
    plots.save_figure(plots.training_figure(history), folder / "training.png")


def write_rows(path, rows):
    """Write a CSV file from `rows`, a list of dicts with the same keys. The keys become the header."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def describe_epoch(row):
    """Return a line of text for the user with the scores of an epoch.

    Args:
        row: the dict of the epoch in the training history.
    """
    if row["val_CIDEr"] is None:
        scores = f"mean average precision of the val tags {row['val_tag_precision']:.3f}"
    else:
        scores = (
            f"val loss {row['val_loss']:.3f}, CIDEr {row['val_CIDEr']:.3f}, BLEU-4 {row['val_Bleu_4']:.3f}, "
            f"{row['distinct_captions']} distinct captions"
        )
    if row["stage"] == "start":
        return f"before training: {scores} (validation {row['validation_seconds']:.0f} s)"
    return (
        f"{row['stage']} epoch {row['epoch']}: loss {row['loss']:.3f}, {scores} "
        f"({row['captions_per_second']} captions/s, validation {row['validation_seconds']:.0f} s)"
    )
