"""Measurements: repetitions in turns, medians, and their tables."""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from utils.outputs.text_tables import table

BETTER_LOW = ("s", "MB", "bytes")


@dataclass(frozen=True)
class Measurement:
    """One line of the benchmark.

    Args:
        phase: "first caption", "caching", "training", "decoding" or "peak memory".
        what: description of the work.
        unit: unit of the values.
        ours: values of the program, one per repetition.
        baseline: values of the tutorial baseline, one per repetition; empty if it has none.
    """

    phase: str
    what: str
    unit: str
    ours: tuple
    baseline: tuple = ()

    @property
    def ratio(self):
        """How many times better the program is than the tutorial baseline, by medians; None without baseline."""
        if not self.baseline:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.baseline)
        return 1 / ratio if self.unit in BETTER_LOW else ratio

    def as_json(self):
        """The measurement as a JSON object, with every repetition."""
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
    """A run for `take_turns` that calls `function` and returns its time in seconds under `name`."""

    def run():
        start = time.perf_counter()
        function()
        return {name: time.perf_counter() - start}

    return run


def take_turns(runs, sizes, progress, desc):
    """Repeat all runs in turns, so that other work on the machine slows all of them down alike.

    Args:
        runs: functions without arguments that return a dict of values by name.
        sizes: Sizes, for the number of repetitions and of warm-ups before them.
        progress: function with tqdm's arguments that returns a progress bar.
        desc: label of the progress bar.

    Returns:
        A dict by name of tuples of values, one per repetition.
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
    """`count` divided by each of the times, a tuple."""
    return tuple(count / each for each in seconds)


def three_digits(value, sign=""):
    """A number as text with three digits and a sign after it; "" if the number is None."""
    if value is None:
        return ""
    exponent = int(f"{value:e}".split("e")[1])
    return f"{value:,.{max(0, 2 - exponent)}f}{sign}"


def lines(measurements):
    """Measurements as tables, one per phase: a list of strings."""
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
