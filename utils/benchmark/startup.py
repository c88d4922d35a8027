"""From `python inference.py` to the first caption."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

from utils import console
from utils.benchmark import fresh
from utils.benchmark.figures import Figure, take_turns
from utils.benchmark.sizes import ROOT
from utils.data.images import sample_photo
from utils.errors import InputError

# What inference.py does one after another.
PARTS = ("imports", "weights", "compilation", "work")


def first_line(model):
    """Seconds from starting the script until it has written its first caption."""
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
    """Do what inference.py does, for the seconds of each part and the peak bytes; for a process of its own.

    Args:
        model: the model folder.
        started: `time.time()` when the process was started.
    """
    console.import_keras()
    from utils.data import photo_sources  # noqa: F401
    from utils.ensemble import load_captioner

    marks = [started, time.time()]
    captioner = load_captioner([model])
    marks.append(time.time())
    for _ in range(2):  # only the first time is anything compiled
        next(captioner.caption_each([sample_photo()]))
        marks.append(time.time())
    imports, weights, first, work = (after - before for before, after in itertools.pairwise(marks))
    seconds = dict(zip(PARTS, (imports, weights, first - work, work)))
    return seconds | {"peak": fresh.peak_bytes() / 1e6}


def measure(sizes, progress):
    """Seconds to the first caption, its parts, and the memory it takes: a list of Figure."""
    runs = [
        lambda: {"all": first_line(sizes.model)},
        lambda: fresh.call(parts, sizes.model, time.time()),
    ]
    values = take_turns(runs, sizes, progress, "first caption")
    figures = [Figure("first caption", "from `python inference.py` to the first caption", "s", values["all"])]
    figures += [Figure("first caption", f"of which {part}", "s", values[part]) for part in PARTS]
    return [*figures, Figure("first caption", "peak memory", "MB", values["peak"])]
