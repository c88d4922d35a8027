"""What a person at the terminal meets: arguments, one-line errors, progress. The only file here that prints."""

import argparse
import json
import os
import sys
from contextlib import nullcontext

from tqdm import tqdm

from utils.errors import InputError


def run(main):
    """Run a script's `main` and end the process: status 0, 2 after an error a person can mend, 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except InputError as error:
        fail(error)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def fail(message):
    """Print `error: …` and end with status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose help tells the defaults."""

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message):
        fail(f"{message} (see --help)")


def number(convert, low, high=None):
    """An argument type: a number of type `convert` between `low` and `high`, both allowed."""

    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        # Written so that nan is refused too.
        if not (value >= low and (high is None or value <= high)):
            bounds = f"at least {low}" if high is None else f"between {low} and {high}"
            raise argparse.ArgumentTypeError(f"{text} must be {bounds}")
        return value

    return parse


def import_tensorflow():
    """Import TensorFlow and Keras, without banners, and without what costs time and is not used.

    TensorFlow's libraries print banners before logging can be set. Keras
    imports pyplot, half a second, for drawings of its own.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    unwanted = "matplotlib.pyplot" not in sys.modules
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            if unwanted:
                sys.modules["matplotlib.pyplot"] = None  # its import fails now, for which Keras is prepared
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
    finally:
        if unwanted:
            sys.modules.pop("matplotlib.pyplot", None)
        os.dup2(saved, 2)
        os.close(saved)


def check_outputs(paths, overwrite=True):
    """Make sure, before the work, that files can be written; None stands for a file not asked for."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file")
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists; name another file, or replace it with --overwrite")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path.parent}: cannot be made ({error.strerror})") from None
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise InputError(f"{path}: may not be written")


def open_output(name):
    """A text stream, to be used in a `with`: the file of that name, or standard output for "-"."""
    if name == "-":
        return nullcontext(sys.stdout)
    try:
        return open(name, "w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror})") from None


def write_json(path, content):
    """Write an object as a JSON file."""
    try:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


class _Lines(tqdm):
    """Progress as plain lines, for pipes and logs: one every ten seconds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, mininterval=10, ascii=True, file=sys.stderr, **kwargs)

    def display(self, msg=None, pos=None):
        """Print the state as a line of its own."""
        print(str(self), file=sys.stderr, flush=True)


def progress(**kwargs):
    """A tqdm bar on a terminal, plain lines elsewhere; takes tqdm's arguments."""
    bar = tqdm if sys.stderr.isatty() else _Lines
    return bar(dynamic_ncols=sys.stderr.isatty(), **kwargs)


def say(*lines):
    """Print lines at once, so that a log is up to date."""
    for line in lines:
        print(line, flush=True)


def warn(message):
    """Print `warning: …` on standard error."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def table(rows, header):
    """Rows of cells as text with aligned columns, numbers to the right."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(not isinstance(row[i], str) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip() for row in cells
    ]
    return "\n".join(lines)
