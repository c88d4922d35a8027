"""Pictures of what a model does: attention over a photo, curves of a training run."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from utils.data.images import open_photo
from utils.errors import InputError


def attention_figure(captions, columns=5, photo=None):
    """The photo, and beside it the photo again for every word with what the model looked at.

    The map is stretched over the whole photo, as the photo was squeezed into
    the encoder's square; between the centres of the regions it is interpolated.

    Args:
        captions: a Caption, or several of one photo, which are drawn one below another.
        columns: pictures in a row.
        photo: a PIL image; the one that the captions are of if None.

    Returns:
        A matplotlib Figure.
    """
    captions = captions if isinstance(captions, (list, tuple)) else [captions]
    photo = photo or captions[0].photo or open_photo(captions[0].path)
    photo.thumbnail((480, 480))
    width, height = photo.size
    side = 2.2
    rows = [math.ceil((len(caption.words) + 1) / columns) for caption in captions]
    heights = [(side * height / width + 0.3) * each + 0.4 for each in rows]
    figure = Figure(figsize=(side * columns, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(captions), squeeze=False, height_ratios=heights).flat
    for part, caption, each in zip(parts, captions, rows):
        _draw_caption(part, caption, part.subplots(each, columns, squeeze=False).flat, photo)
    return figure


def _draw_caption(figure, caption, axes, photo):
    """A caption over its maps, in the order of its words, after the photo itself."""
    width, height = photo.size
    figure.suptitle(caption.text)
    axes = list(axes)
    for axis in axes:
        axis.axis("off")
    axes[0].imshow(photo, extent=(0, width, height, 0))
    grey = photo.convert("L")
    for axis, word, attention in zip(axes[1:], caption.words, caption.attention):
        axis.set_title(word, fontsize=10)
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
        axis.imshow(
            attention,
            cmap="inferno",
            alpha=0.6,
            vmin=0,
            vmax=max(attention.max(), 2 / attention.size),
            interpolation="bilinear",
            extent=(0, width, height, 0),
        )
        axis.set_xlim(0, width)
        axis.set_ylim(height, 0)


def training_figure(history):
    """Loss and validation scores by epoch, with a dotted line where a stage ends.

    The self-critical stage's loss is minus the mean reward.

    Args:
        history: rows as `Trainer.history` has them.
    """
    epochs = range(1, len(history) + 1)
    begins = [n + 0.5 for n in range(1, len(history)) if history[n]["stage"] != history[n - 1]["stage"]]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, (name, label) in zip(
        figure.subplots(1, 3),
        (("loss", "training loss"), ("val_CIDEr", "validation CIDEr"), ("val_Bleu_4", "validation BLEU-4")),
    ):
        # A stage that writes no captions has no scores of them.
        values = [math.nan if row[name] in (None, "") else float(row[name]) for row in history]
        axis.plot(epochs, values, marker="o", markersize=3)
        for begin in begins:
            axis.axvline(begin, color="grey", linestyle=":")
        axis.set(title=label, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def check_format(path):
    """Make sure, before the work, that there is a format for a picture of this name.

    Raises:
        InputError: there is none.
    """
    known = sorted(Figure().canvas.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in known:
        raise InputError(f"{path}: no format of pictures; let the name end in one of .{', .'.join(known)}")


def save_figure(figure, path):
    """Write a figure; the suffix decides the format.

    Raises:
        InputError: a format that does not exist, or a place that cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the picture cannot be written ({error})") from None
