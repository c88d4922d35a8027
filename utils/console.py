"""What a person at the terminal meets: arguments, one-line errors, progress. The only file here that prints."""

import argparse
import codecs
import importlib.util
import json
import os
import re
import sys
import threading
import traceback
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from utils import files
from utils.errors import ImageWarning, InputError, one_line, reason, shorten
from utils.progress import Reporter


def _escape(error):
    # As JSON and Python write them, so that JSON stays valid: \u00e9, two of them beyond \uffff.
    text = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{text[i : i + 4]}" for i in range(0, len(text), 4)), error.end


# What a stream cannot write, such as the name of a file that is not UTF-8, is written as escapes.
codecs.register_error("escaped", _escape)


def _prepare_streams():
    """Give a process all three streams, open, and none that cannot write a name."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as by `<&-`; what is opened next takes its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="escaped")
    warnings.showwarning = _show_warning


_python_shows_warning = warnings.showwarning


def _show_warning(message, category, *rest, **more):
    if issubclass(category, ImageWarning):
        warn(message)
    else:
        _python_shows_warning(message, category, *rest, **more)


def _flush_output():
    # What the disk did not take is given up: Python's own last try would fail once more, in several lines.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(main):
    """Run a script's `main` and end the process: status 0, 2 after an error a person can fix, 130 after Ctrl-C.

    Errors of the system that nobody foresaw end in one line too; those of the program show where they come from.
    """
    _prepare_streams()
    try:
        status = main()
        sys.stdout.flush()  # a full disk is an error, too, if it is the last line that it does not take
        sys.exit(status)
    except InputError as error:
        fail(error)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does.
        _flush_output()
        sys.exit(1)
    except OSError as error:
        where = f"{shorten(error.filename)}: " if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
        fail(where + reason(error))
    except UnicodeError as error:
        fail(reason(error))
    finally:
        _flush_output()


@contextmanager
def ending_at_once():
    """What `run` would do after an error, without TensorFlow's clean-up, which waits for workers that wait for this."""
    try:
        yield
    except BaseException as error:
        try:

            def again(error=error):
                raise error

            run(again)
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def fail(message):
    """Print `error: …` and end with status 2."""
    with suppress(OSError):  # of a full disk
        print(f"error: {one_line(message)}", file=sys.stderr, flush=True)
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


def add_dataset_flags(group, names):
    """Add --dataset and --data_dir, each for one dataset or several; `name_datasets` puts their values together."""
    default = "default: shapes, the embedded sample; " if "shapes" in names else ""
    group.add_argument(
        "--dataset",
        choices=sorted(names),
        nargs="+",
        help=f"one or several ({default}custom: your own photos)",
    )
    group.add_argument("--data_dir", type=Path, nargs="+", help="the folder of each (default: data/DATASET)")


def name_datasets(parser, parsed):
    """Check --dataset and --data_dir; names are joined by "+", and the folder of one dataset is no list."""
    if parsed.data_dir and not parsed.dataset:
        parser.error("--data_dir: say with --dataset what is in it, custom if they are your own photos")
    names = parsed.dataset or ["shapes"]
    folders = parsed.data_dir or [Path("data") / name for name in names]
    if len(set(names)) < len(names):
        parser.error(f"--dataset {' '.join(names)}: each dataset once")
    if len(folders) != len(names):
        parser.error(f"--data_dir names {len(folders)} folders for {len(names)} datasets: give each its own")
    parsed.dataset = "+".join(names)
    parsed.data_dir = folders if len(folders) > 1 else folders[0]


def part(text):
    """An argument type: `2/8` as (2, 8), the second of eight parts."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 2/8, the second of eight")
    return int(match[1]), int(match[2])


def import_keras():
    """Import Keras and its backend, without banners, and without what costs time and is not used.

    TensorFlow's libraries print banners before logging can be set. Keras
    imports pyplot, half a second, for drawings of its own.

    Raises:
        InputError: KERAS_BACKEND names one that is not served, or not installed; no temporary file can be written.
    """
    asked = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if asked not in ("tensorflow", "jax"):
        raise InputError(f"KERAS_BACKEND={asked}: only tensorflow and jax are served")
    for package in (asked, "keras"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package} is not installed: pip install {package}")
    files.check_temporary()
    os.environ["KERAS_BACKEND"] = asked  # whatever Keras's own file of settings says
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Memory is kept from one step to the next. Given back to the system, as is TensorFlow's
    # default on CPUs, it is cleared page by page whenever it is needed again.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    unwanted = "matplotlib.pyplot" not in sys.modules
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            if unwanted:
                sys.modules["matplotlib.pyplot"] = None  # its import fails now, for which Keras is prepared
            import keras

            if keras.config.backend() == "tensorflow":
                import tensorflow
    finally:
        if unwanted:
            sys.modules.pop("matplotlib.pyplot", None)
        os.dup2(saved, 2)
        os.close(saved)
    if keras.config.backend() == "tensorflow":
        # It warns of functions that are compiled for several sizes or models, which is as it should be.
        tensorflow.get_logger().setLevel("ERROR")


def check_outputs(paths, overwrite=True):
    """Make sure, before the work, that files can be written; None stands for a file not asked for."""
    for path in paths:
        if path is None:
            continue
        if files.is_dir(path):
            raise InputError(f"{path}: is a folder; name a file")
        if files.is_file(path) and not overwrite:
            raise InputError(f"{path}: exists; name another file, or replace it with --overwrite")
        files.make_folder(path.parent)
        if not os.access(path if files.exists(path) else path.parent, os.W_OK):
            raise InputError(f"{path}: may not be written")


class _Output:
    """A text stream whose errors are InputErrors that name it."""

    def __init__(self, name, stream):
        self._name, self._stream = name, stream
        self.isatty = stream.isatty

    def write(self, text):
        with self._named():
            self._stream.write(text)

    def flush(self):
        with self._named():
            self._stream.flush()

    @contextmanager
    def _named(self):
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"{self._name}: cannot be written ({reason(error)})") from None


@contextmanager
def open_output(name):
    """A text stream, to be used in a `with`: the file of that name, or standard output for "-".

    Raises:
        InputError: it cannot be opened or, as it is used, written.
    """
    if name == "-":
        yield _Output("standard output", sys.stdout)
        return
    try:
        stream = open(name, "w", encoding="utf-8", newline="", errors="escaped")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{shorten(name)}: cannot be written ({reason(error)})") from None
    output = _Output(name, stream)
    try:
        yield output
        output.flush()
    finally:
        with suppress(OSError):  # was told by `flush`
            stream.close()


def write_json(path, content):
    """Write an object as a JSON file.

    Raises:
        InputError: it cannot be written; the former file is as it was.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="escaped")


class _Lines(tqdm):
    """Progress as plain lines, for pipes and logs: one every ten seconds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, mininterval=10, ascii=True, file=sys.stderr, **kwargs)

    def display(self, msg=None, pos=None):
        """Print the state as a line of its own."""
        print(str(self), file=sys.stderr, flush=True)


class _Clock(tqdm):
    """A bar whose time moves every second, also while no photo or batch is finished."""

    def __init__(self, *args, **kwargs):
        self._closed = threading.Event()
        super().__init__(*args, **kwargs)
        if not self.disable:
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        while not self._closed.wait(1):
            self.refresh()

    def close(self):
        """Stop the clock and leave, or clear, the bar."""
        self._closed.set()
        super().close()


def progress(**kwargs):
    """A tqdm bar on a terminal and in a notebook, plain lines elsewhere; takes tqdm's arguments."""
    if type(sys.stdout).__module__.startswith("ipykernel"):
        # Text, since GitHub shows no widgets; standard error would be red.
        return tqdm(file=sys.stdout, ncols=100, mininterval=2, **kwargs)
    bar = _Clock if sys.stderr.isatty() else _Lines
    return bar(dynamic_ncols=sys.stderr.isatty(), **kwargs)


def say(*lines):
    """Print lines at once, so that a log is up to date."""
    for line in lines:
        print(line, flush=True)


# Lines and progress bars of long work, on this terminal.
REPORTER = Reporter(say, progress)


def note(message):
    """Print a line on standard error, so that standard output holds results only."""
    print(message, file=sys.stderr, flush=True)


def warn(message):
    """Print `warning: …` on standard error."""
    with suppress(OSError):  # of a full disk
        print(f"warning: {one_line(message)}", file=sys.stderr, flush=True)


def table(rows, header):
    """Rows of cells as text with aligned columns, numbers to the right."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(not isinstance(row[i], str) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip() for row in cells
    ]
    return "\n".join(lines)
