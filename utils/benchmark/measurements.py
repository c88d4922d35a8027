"""Repeat measurements of the program and of the baseline in turns, compute medians, and format tables.

The baseline is code as in tutorials.
"""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from utils.outputs.text_tables import table

# Units in which a lower value is better.
BETTER_LOW = ("s", "MB", "bytes")


@dataclass(frozen=True)
class Measurement:
    """Hold the measurements of one piece of work, for the program and for the baseline, code as in tutorials.

    Args:
        phase: "first caption", "caching", "training", "decoding" or "peak memory".
        what: description of the work.
        unit: unit of the values, such as "photos/s".
        ours: tuple with the value of the program in each repetition.
        baseline: tuple with the value of the baseline in each repetition. Empty if the baseline does not do this work.
    """

    phase: str
    what: str
    unit: str
    ours: tuple
    baseline: tuple = ()

    @property
    def ratio(self):
        """Compute how many times better the program's median is than the baseline's, a float; None without baseline."""
        if not self.baseline:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.baseline)
        return 1 / ratio if self.unit in BETTER_LOW else ratio

    def as_json(self):
        """Return medians, ratio and the values of all repetitions as a dict that can be written as JSON."""
        return {
            "phase": self.phase,
            "what": self.what,
            "unit": self.unit,
            "ours": statistics.median(self.ours),
            "baseline": statistics.median(self.baseline) if self.baseline else None,
            "ratio": self.ratio,
            "ours_repetitions": list(self.ours),
            "baseline_repetitions": list(self.baseline),
        }


def timed(name, function):
    """Make a function that calls `function`, measures its time and returns the dict {name: seconds}.

    Both functions have no arguments. The result is for `take_turns`, which repeats measurements.
    """

    def run():
        start = time.perf_counter()
        function()
        return {name: time.perf_counter() - start}

    return run


def take_turns(runs, sizes, progress, desc):
    """Repeat several measurements in turns, so that other work on the machine slows all of them down equally.

    Args:
        runs: list of functions without arguments. Each returns a dict from name to measured value.
        sizes: a Sizes object, which has the number of repetitions and of warm-ups before them.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.
        desc: label of the progress bar.

    Returns:
        A dict from name to a tuple with the value in each repetition.
    """
    values = defaultdict(list)
    with progress(total=len(runs) * (sizes.warm_ups + sizes.repetitions), desc=desc, unit="run", leave=False) as bar:
        for repetition in range(sizes.warm_ups + sizes.repetitions):
            for run in runs:
                for name, value in run().items():
                    if repetition >= sizes.warm_ups:
                        values[name].append(value)
                bar.update()
    return {name: tuple(found) for name, found in values.items()}


def rates(count, seconds):
    """Convert the times of several repetitions, a tuple of seconds, to rates: `count` per second. Returns a tuple."""
    return tuple(count / each for each in seconds)


def three_digits(value, sign=""):
    """Format a number with three significant digits, followed by the text `sign`. None becomes an empty string."""
    if value is None:
        return ""
    exponent = int(f"{value:e}".split("e")[1])
    return f"{value:,.{max(0, 2 - exponent)}f}{sign}"


def lines(measurements):
    """Format a list of Measurement as text tables, one for each phase. Returns a list of lines."""
    phases = defaultdict(list)
    for measurement in measurements:
        phases[measurement.phase].append(measurement)
    text = []
    for phase, own in phases.items():
        rows = []
        for measurement in own:
            numbers = measurement.as_json()
            cells = [three_digits(numbers[key]) for key in ("ours", "baseline")]
            rows.append((measurement.what, measurement.unit, *cells, three_digits(numbers["ratio"], "×")))
        text += [*table(rows, (phase, "unit", "this program", "tutorial baseline", "ratio")), ""]
    return text
