"""Worth of a student's regions by how much it was taught.

Run as `python -m utils.training.pretraining.teaching_curve curve.csv curve.png`.
"""

import csv
import math
from collections import namedtuple
from pathlib import Path

from matplotlib.figure import Figure

from utils import console
from utils.errors import InputError
from utils.outputs import plots

DESCRIPTION = """Draw how the captions get better as an encoder is taught.

The table has a row for each encoder, with the columns encoder, photos and CIDEr:
its name, how many photos it was shown (none: drawn as a line to compare with),
and the validation CIDEr of a decoder trained on its frozen regions."""

# `photos` is None for an encoder that stands for a line.
Row = namedtuple("Row", "encoder photos cider")

# Up to so many photos the axis is linear, so that it begins with none; then it is logarithmic.
_LINEAR_PHOTOS = 10_000

# Where they are in the picture, hours stand above it.
_HOURS = (0, 0.1, 0.3, 1, 3, 8, 24, 72, 240)


def read_table(path):
    """The Rows of a table.

    Raises:
        InputError: it cannot be read, or a line is not as it must be.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    rows = []
    for number, line in enumerate(lines, 2):
        try:
            row = Row(line["encoder"], int(line["photos"]) if line["photos"] else None, float(line["CIDEr"]))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise InputError(f"{path}, line {number}: encoder, photos or none, CIDEr are needed ({reason})") from None
        if not (0 <= row.cider < math.inf and (row.photos or 0) >= 0):
            raise InputError(f"{path}, line {number}: photos and CIDEr must be numbers from 0")
        rows.append(row)
    if all(row.photos is None for row in rows):
        raise InputError(f"{path}: no encoder with a number of photos, so there is no curve")
    return rows


def figure(rows, photos_per_hour=None):
    """CIDEr by photos shown, and encoders that were shown none as lines.

    Args:
        rows: Rows.
        photos_per_hour: of the teaching; hours stand above the picture if it is given.

    Returns:
        A matplotlib Figure.
    """
    picture = Figure(figsize=(9, 4.8), layout="constrained")
    axis = picture.subplots()
    taught = sorted((row for row in rows if row.photos is not None), key=lambda row: row.photos)
    axis.plot([row.photos for row in taught], [row.cider for row in taught], marker="o")
    for row in taught:
        axis.annotate(
            f"{row.cider:.3f}\n{row.encoder}",
            (row.photos, row.cider),
            xytext=(0, 6),
            textcoords="offset points",
            ha="left" if row is taught[0] else "right",
            fontsize=9,
        )
    for row in rows:
        if row.photos is None:
            axis.axhline(row.cider, color="grey", linestyle=":")
            axis.annotate(
                f"{row.encoder}: {row.cider:.3f}",
                (0, row.cider),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=9,
                color="dimgrey",
            )
    most = max(taught[-1].photos, _LINEAR_PHOTOS)
    axis.set_xscale("symlog", linthresh=_LINEAR_PHOTOS)
    axis.set(xlim=(0, most * 1.1), ylim=(0, max(0.01, *(row.cider for row in rows)) * 1.15))
    axis.set(xlabel="photos shown by the teacher", ylabel="validation CIDEr of a decoder on the frozen regions")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.grid(alpha=0.3)
    if photos_per_hour:
        above = axis.twiny()
        above.set_xscale("symlog", linthresh=_LINEAR_PHOTOS)
        above.set_xlim(axis.get_xlim())
        hours = [each for each in _HOURS if each * photos_per_hour <= most]
        above.set_xticks([each * photos_per_hour for each in hours], [f"{each:g}" for each in hours])
        above.minorticks_off()
        above.set_xlabel(f"hours at {photos_per_hour:,.0f} photos an hour")
    return picture


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("table", type=Path, help="a CSV file")
    parser.add_argument("picture", type=Path, help="to be drawn; its suffix decides the format")
    parser.add_argument(
        "--photos_per_hour", type=console.number(float, 1), help="of the teaching: hours stand above the picture"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the picture that is there")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Draw, from the arguments to the picture."""
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.picture], arguments.overwrite)
    plots.check_format(arguments.picture)
    rows = read_table(arguments.table)
    plots.save_figure(figure(rows, arguments.photos_per_hour), arguments.picture)
    console.say(f"drawn into {arguments.picture}")
    return 0


if __name__ == "__main__":
    console.run(main)
