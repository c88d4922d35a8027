"""Use the terminal: parse arguments, print results and one-line errors, and show progress bars.

No other module of utils prints, except `utils.notebook`.
"""

import argparse
import codecs
import difflib
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
    # Escape as JSON and Python do, so that JSON stays valid: \u00e9, and two escapes for characters above \uffff.
    text = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{text[i : i + 4]}" for i in range(0, len(text), 4)), error.end


# Escape characters that a stream cannot write, for example in file names that are not UTF-8.
codecs.register_error("escaped", _escape)


class _Messages:
    """Write to standard error, and ignore writes that fail, because a log on a full disk must not end the work.

    Args:
        stream: the text stream of standard error.
    """

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with suppress(OSError):
            self._stream.write(text)

    def flush(self):
        with suppress(OSError):
            self._stream.flush()


def _prepare_streams():
    r"""Prepare standard input, output and error, so that closed streams and unusual characters cause no errors.

    Closed streams are opened on the null device. Characters that a stream cannot write become escapes such as \u00e9.
    Failed writes to standard error are ignored.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, for example by `<&-`; the next opened file would get its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="escaped")
    if not isinstance(sys.stderr, _Messages):
        sys.stderr = _Messages(sys.stderr)
    warnings.showwarning = _show_warning


_python_shows_warning = warnings.showwarning


def _show_warning(message, category, *rest, **more):
    if issubclass(category, ImageWarning):
        warn(message)
    else:
        _python_shows_warning(message, category, *rest, **more)


def _flush_output():
    # Write buffered output. If that fails, discard it: otherwise Python would print a second error at exit.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(main):
    """Run the function `main` of a script and end the process.

    The exit status is the result of `main`, 2 after an error that the user can fix, or 130 after Ctrl-C. Errors of the
    user and of the system, such as a full disk, are printed as one line. Errors in the program show a traceback.

    Args:
        main: a function without arguments that returns the exit status, an int or None.
    """
    _prepare_streams()
    try:
        status = main()
        sys.stdout.flush()  # raises an error now if the last lines cannot be written, for example on a full disk
        sys.exit(status)
    except InputError as error:
        fail(error)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the output has ended, as in `| head`.
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
    """If the code in the `with` block raises an error, print the error and end the process at once.

    This is for training on several machines. TensorFlow's normal shutdown would wait for the processes on the other
    machines, and these processes wait for this one.
    """
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
    """Print `error: ` and the message, a str or an exception, on standard error. End the process with status 2."""
    print(f"error: {one_line(message)}", file=sys.stderr, flush=True)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """Parse the arguments of the command line, and report errors in one line.

    Args:
        description: the text at the beginning of --help.
    """

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def parse_known_args(self, args=None, namespace=None):
        # Hyphens in the names of flags are accepted instead of underscores.
        given = sys.argv[1:] if args is None else list(args)
        end = given.index("--") if "--" in given else len(given)
        for place, (name, *value) in enumerate(each.split("=", 1) for each in given[:end]):
            known = "--" + name[2:].replace("-", "_")
            if name.startswith("--") and known in self._option_string_actions:
                given[place] = "=".join([known, *value])
        return super().parse_known_args(given, namespace)

    def error(self, message):
        unknown = re.search(r"unrecognized arguments: (--\w+)", message)
        near = unknown and difflib.get_close_matches(unknown[1], self._option_string_actions, 1)
        fail(f"{message} ({f'did you mean {near[0]}? ' if near else ''}see --help)")


def number(convert, low, high=None):
    """Make a value for argparse's argument `type` that accepts only numbers within bounds.

    Args:
        convert: the type of the number, int or float.
        low, high: smallest and largest value allowed. None for `high` means no limit.

    Returns:
        A function that converts text to a number. It raises argparse.ArgumentTypeError for other text.
    """

    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' * (convert is int)}number") from None
        # nan fails these comparisons and is refused too.
        if not (value >= low and (high is None or value <= high)):
            bounds = f"at least {low}" if high is None else f"between {low} and {high}"
            raise argparse.ArgumentTypeError(f"{text} must be {bounds}")
        return value

    return parse


def add_dataset_flags(group, names):
    """Add the flags --dataset and --data_dir. After parsing, `name_datasets` completes their values.

    Args:
        group: an argument parser or an argument group of argparse.
        names: the names of the datasets that are allowed, a list or tuple of str.
    """
    default = "default: shapes, the built-in sample; " if "shapes" in names else ""
    group.add_argument(
        "--dataset",
        choices=sorted(names),
        nargs="+",
        help=f"one or several datasets ({default}custom: your own photos)",
    )
    group.add_argument("--data_dir", type=Path, nargs="+", help="folder of each dataset (default: data/DATASET)")


def name_datasets(parser, parsed):
    """Check the values of --dataset and --data_dir, and replace them by their final values.

    `parsed.dataset` becomes a string, in which the names of several datasets are joined by "+". `parsed.data_dir`
    becomes a Path, or a list of Paths for several datasets.

    Args:
        parser: a Parser, which reports errors.
        parsed: the argparse.Namespace of the parsed arguments, which is changed.
    """
    if parsed.data_dir and not parsed.dataset:
        parser.error("--data_dir: name its dataset with --dataset; custom for your own photos")
    names = parsed.dataset or ["shapes"]
    folders = parsed.data_dir or [Path("data") / name for name in names]
    if len(set(names)) < len(names):
        parser.error(f"--dataset {' '.join(names)}: name each dataset once")
    if len(folders) != len(names):
        parser.error(f"--data_dir names {len(folders)} folders for {len(names)} datasets; name one folder for each")
    parsed.dataset = "+".join(names)
    parsed.data_dir = folders if len(folders) > 1 else folders[0]


def part(text):
    """Convert an argument such as "2/8", the second of eight parts, to a pair of int, (2, 8)."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 2/8, the second of eight")
    return int(match[1]), int(match[2])


def import_keras():
    """Import Keras and its backend quietly.

    Raises:
        InputError: KERAS_BACKEND names an unsupported or missing backend, or no temporary file can be written.
    """
    asked = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if asked not in ("tensorflow", "jax"):
        raise InputError(f"KERAS_BACKEND={asked}: not supported; set tensorflow or jax")
    for package in (asked, "keras"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package} is not installed: pip install {package}")
    files.check_temporary()
    os.environ["KERAS_BACKEND"] = asked  # takes precedence over Keras's settings file
    # Keep memory from one step to the next. By default, TensorFlow on CPUs returns memory to the system after each
    # step. The system must clear every page before the next use, which takes time.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    from utils.runtime import quiet_keras  # noqa: F401


def check_outputs(paths, overwrite=True):
    """Check before a long computation that its output files can be written. Create missing folders.

    Args:
        paths: a list of Paths. None stands for a file that was not requested.
        overwrite: True if existing files may be replaced.

    Raises:
        InputError: a file cannot be written, is a folder, or exists although `overwrite` is False.
    """
    for path in paths:
        if path is None:
            continue
        if files.is_dir(path):
            raise InputError(f"{path}: is a folder; name a file")
        if files.is_file(path) and not overwrite:
            raise InputError(f"{path}: exists; name another file, or replace it with --overwrite")
        files.make_folder(path.parent)
        if not os.access(path if files.exists(path) else path.parent, os.W_OK):
            raise InputError(f"{path}: cannot be written (permission denied); name another file")


class _Output:
    """Wrap a text stream so that it raises an InputError, instead of an OSError, if it cannot be written.

    Args:
        name: the name of the stream for errors.
        stream: the text stream to which everything is written.
    """

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
    """Open a file or standard output for writing text, in a `with` statement.

    Args:
        name: the path of the file, or "-" for standard output.

    Yields:
        The stream.

    Raises:
        InputError: the file cannot be opened, or a later write fails.
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
        with suppress(OSError):  # `flush` has reported the error already
            stream.close()


def write_json(path, content):
    """Write an object as a JSON file.

    Args:
        path: the file, a Path.
        content: the object, which consists of dicts, lists, text and numbers.

    Raises:
        InputError: the file cannot be written. An existing file does not change then.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="escaped")


class _Lines(tqdm):
    """Show progress in pipes and logs: print a line of text every ten seconds. The arguments are those of `tqdm`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, mininterval=10, ascii=True, file=sys.stderr, **kwargs)

    def display(self, msg=None, pos=None):
        """Print the progress as one line."""
        print(str(self), file=sys.stderr, flush=True)


class _Clock(tqdm):
    """Show a bar that is redrawn every second, even if there is no progress. The arguments are those of `tqdm`."""

    def __init__(self, *args, **kwargs):
        self._closed = threading.Event()
        super().__init__(*args, **kwargs)
        if not self.disable:
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        while not self._closed.wait(1):
            self.refresh()

    def close(self):
        """Stop updating the bar and close it."""
        self._closed.set()
        super().close()


def progress(**kwargs):
    """Return a progress bar for terminals and notebooks, or one that writes lines of text to a pipe or a log.

    The arguments are those of tqdm.
    """
    if type(sys.stdout).__module__.startswith("ipykernel"):
        # Text and not a widget, because GitHub shows no widgets. Standard output, because notebooks show standard error
        # in red.
        return tqdm(file=sys.stdout, ncols=100, mininterval=2, **kwargs)
    bar = _Clock if sys.stderr.isatty() else _Lines
    return bar(dynamic_ncols=sys.stderr.isatty(), **kwargs)


def say(*lines):
    """Print lines of text on standard output and flush, so that they appear in a log at once."""
    for line in lines:
        print(line, flush=True)


# Shows the lines and progress bars of long work on the terminal.
REPORTER = Reporter(say, progress)


def note(message):
    """Print a line for the user on standard error, because standard output must have only results."""
    print(message, file=sys.stderr, flush=True)


def warn(message):
    """Print `warning: ` and the message, a str or a warning object, on standard error."""
    print(f"warning: {one_line(message)}", file=sys.stderr, flush=True)
