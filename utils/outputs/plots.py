"""Draws figures with matplotlib: the attention of each word on the photo, and the curves of a training run."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from utils.data.images import open_photo
from utils.errors import InputError, reason


def attention_figure(captions, columns=5, photo=None):
    """Draw a photo once as it is, and once for each word of its caption with the attention of this word.

    The regions of the encoder cover the whole photo, so an attention map is stretched
    over the whole photo. Values between the centres of regions are interpolated.

    Args:
        captions: a `Caption`, or a list of `Caption` objects for one photo, which are shown one below another.
        columns: number of pictures per row.
        photo: the photo as a PIL image, which is made smaller if it is large. None: read the captions' photo.

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
    """Draw one caption: the sentence as a title, then the photo, then the attention of each word.

    Args:
        figure: the matplotlib SubFigure that gets the title.
        caption: a Caption.
        axes: an iterable of matplotlib Axes, at least one more than the caption has words.
        photo: the photo as a PIL image.
    """
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
    """Draw three curves over the epochs: training loss, validation CIDEr and validation BLEU-4.

    A training run consists of stages, one after another, in which different weights are trained, or another loss is
    used. Dotted lines separate them. In the stage "self-critical", which maximises a reward, the loss is the negative
    mean reward.

    Args:
        history: a list with one dict per epoch, with the keys `stage`, `loss`, `val_CIDEr` and `val_Bleu_4`. The rows
            of history.csv have this form.

    Returns:
        A matplotlib Figure.
    """
    epochs = range(1, len(history) + 1)
    begins = [n + 0.5 for n in range(1, len(history)) if history[n]["stage"] != history[n - 1]["stage"]]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, (name, label) in zip(
        figure.subplots(1, 3),
        (("loss", "training loss"), ("val_CIDEr", "validation CIDEr"), ("val_Bleu_4", "validation BLEU-4")),
    ):
        # The tagging stage has no CIDEr and BLEU-4, because it writes no captions.
        values = [math.nan if row[name] in (None, "") else float(row[name]) for row in history]
        axis.plot(epochs, values, marker="o", markersize=3)
        for begin in begins:
            axis.axvline(begin, color="grey", linestyle=":")
        axis.set(title=label, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def check_format(path):
    """Check, before any photo is captioned, that matplotlib can write a picture file with the suffix of `path`.

    Args:
        path: the file to write, a str or Path.

    Raises:
        InputError: the suffix is unknown.
    """
    known = sorted(Figure().canvas.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in known:
        raise InputError(f"{path}: unknown picture format; use a name that ends in .{', .'.join(known)}")


def save_figure(figure, path):
    """Write a figure to a file.

    Args:
        figure: a matplotlib Figure.
        path: the file, a str or Path. Its suffix selects the format. Missing folders are created.

    Raises:
        InputError: the format is unknown, or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write picture {path}: {reason(error)}") from None
