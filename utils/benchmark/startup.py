"""Measure the time from `python inference.py` to the first caption."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

from utils import console
from utils.benchmark import fresh
from utils.benchmark.measurements import Measurement, take_turns
from utils.benchmark.sizes import ROOT
from utils.data.photo_files import sample_photo
from utils.errors import InputError

# The steps of inference.py, in order.
PARTS = ("imports", "weights", "compilation", "work")


def first_line(model):
    """Start inference.py and measure the seconds until its first caption.

    Args:
        model: model folder.

    Returns:
        The seconds, a float.

    Raises:
        InputError: inference.py wrote no caption.
    """
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "inference.py"), "--model", str(Path(model).absolute())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        error = process.communicate()[1]
    if not line:
        raise InputError(f"inference.py wrote no caption: {error.strip().splitlines()[-1:]}")
    return seconds


def parts(model, started):
    """Measure the time of each step of inference.py, and the peak memory. Call this function in a new process.

    Args:
        model: model folder.
        started: `time.time()` when the process was started.

    Returns:
        A dict: "imports", "weights", "compilation" and "work" are seconds; "peak" is the peak memory in MB.
    """
    console.import_keras()
    from utils.captioner import Captioner
    from utils.data import photo_sources  # noqa: F401

    marks = [started, time.time()]
    captioner = Captioner.from_folder(model)
    marks.append(time.time())
    for _ in range(2):  # the first call includes the compilation
        next(captioner.caption_each([sample_photo()]))
        marks.append(time.time())
    imports, weights, first, work = (after - before for before, after in itertools.pairwise(marks))
    seconds = dict(zip(PARTS, (imports, weights, first - work, work)))
    return seconds | {"peak": fresh.peak_bytes() / 1e6}


def measure(sizes, progress):
    """Measure inference.py on one photo: the time to the first caption, the time of each step, and the peak memory.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Measurement.
    """
    runs = [
        lambda: {"all": first_line(sizes.model)},
        lambda: fresh.call(parts, sizes.model, time.time()),
    ]
    values = take_turns(runs, sizes, progress, "first caption")
    measurements = [Measurement("first caption", "from `python inference.py` to the first caption", "s", values["all"])]
    measurements += [Measurement("first caption", f"of which {part}", "s", values[part]) for part in PARTS]
    return [*measurements, Measurement("first caption", "peak memory", "MB", values["peak"])]
